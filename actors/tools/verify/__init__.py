"""Compares the log with what MySQL and Redis hold: ``python -m actors.tools.verify --help``.

It counts plainly, one tag after the other, and shares with the product how records, members and
keys are read, not how they are added up or written.
"""
