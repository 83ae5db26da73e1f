"""HTTP without Serve: the three endpoints on plain ASGI, and FastAPI for everything else."""
