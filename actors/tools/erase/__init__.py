"""Erases one cookie: ``python -m actors.tools.erase --help``."""
