"""`python -m tests.webpanel.ui`: see `cli` for the options."""

from tests.webpanel.ui.cli import main

main()
