"""The complete Web Panel against a reference server with faults on demand."""
