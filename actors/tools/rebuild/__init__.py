"""Counts the log anew into tables beside the live ones and swaps them in: ``actors.tools.rebuild``.

The platform keeps taking and counting tags meanwhile. ``python -m actors.tools.rebuild --help``.
"""
