"""``python -m setup.local``: bring the platform up and down, and look at it."""

from setup.local.cli import main

if __name__ == "__main__":
    main()
