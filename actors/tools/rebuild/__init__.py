"""Rebuilds a view from the log: ``python -m actors.tools.rebuild --help``.

Aggregates are counted into tables beside the live ones, which are swapped in; profiles are applied
again in place. The platform keeps taking tags meanwhile.
"""
