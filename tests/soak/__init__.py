"""Days of event time over HTTP: checks for leaks, growth and wrong answers.

`make soak HOURS=2.5 RATE=200`. `plan` has the steps, `run` carries them out, `judge` has the rules,
those of processes in `growth`, those of minutes without a fault in `quiet`.
"""
