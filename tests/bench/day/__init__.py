"""A day of tags through log, actors and tables: ``python -m tests.bench.day --hours 24``."""
