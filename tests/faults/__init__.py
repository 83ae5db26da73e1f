"""Faults under load: a Web Panel subscription goes on while parts are killed, stopped or cut off.

`python -m tests.faults table` injects each fault of the catalogue on its own, `… chaos` a random
sequence; both check log, profiles and aggregates against what was acknowledged.
"""
