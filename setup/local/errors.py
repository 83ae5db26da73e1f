"""What can go wrong while bringing the platform up or down, each with what to do about it.

- SetupError
  - MissingToolError     a program or a jar is not installed
  - PortTakenError       another process holds a port that we need
  - PartFailedError      a part did not start, or did not become healthy in time
"""


class SetupError(Exception):
    """A message for a person: which part, what happened, what to do. Printed without traceback."""


class MissingToolError(SetupError):
    """A program or a jar is not installed."""


class PortTakenError(SetupError):
    """Another process holds a port that a part needs."""


class PartFailedError(SetupError):
    """A part died, or was not healthy before its deadline; carries the end of its log."""
