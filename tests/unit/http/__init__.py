"""The ASGI application with fakes behind it."""
