"""Counts the log anew into tables beside the live ones and swaps them in: ``actors.rebuild``.

The platform keeps taking and counting tags meanwhile. ``python -m actors.rebuild --help``.
"""
