"""`python -m tests.faults table` and `python -m tests.faults chaos`: see `--help`."""

import sys

from tests.faults.cli import main

if __name__ == "__main__":
    sys.exit(main())
