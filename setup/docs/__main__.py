"""``python -m setup.docs``: write the generated pages."""

from setup.docs.pages import PAGES
from setup.local.folder import CHECKOUT


def main() -> None:
    """Write each page, and say which."""
    for path, make in PAGES.items():
        path.write_text(make())
        print(path.relative_to(CHECKOUT))


if __name__ == "__main__":
    main()
