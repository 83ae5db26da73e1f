"""Days of event time over HTTP: what grows, and whether it stays right.

`make soak HOURS=2.5 RATE=200`; `run` says what happens when, `judge` what is asked of it.
"""
