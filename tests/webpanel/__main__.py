"""`python -m tests.webpanel`: see `cli` for the options."""

import sys

from tests.webpanel.cli import main

sys.exit(main())
