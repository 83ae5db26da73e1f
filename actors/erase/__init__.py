"""Erases one cookie from Redis and says what the log keeps: ``python -m actors.erase --help``."""
