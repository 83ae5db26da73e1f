"""The generated pages are up to date."""

from pathlib import Path

import pytest

from setup.docs.pages import PAGES
from setup.docs.source import field_texts, section_of_each


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_is_as_generated(path: Path) -> None:
    assert path.read_text() == PAGES[path](), "run `make docs`"


class _Example:
    """A class."""

    # First things:
    # two lines.
    one: int = 1
    """Of ``one`` | only."""
    # No heading, as no empty line stands above.
    two: int = 2

    # Second.
    three: int = 3


def test_headings_and_docstrings_of_fields() -> None:
    assert field_texts(_Example) == {
        "one": ("First things: two lines.", "Of `one` \\| only."),
        "two": ("First things: two lines.", ""),
        "three": ("Second.", ""),
    }


def test_sections_of_constants() -> None:
    lines = [
        "# --- a part ----",
        "ONE: Final = Gauge(",
        'SHORT: Final = Gauge("on_one_line", "Meaning.")',
        "# --- b ---",
        "TWO_B: Final = Counter(",
    ]
    assert section_of_each(iter(lines)) == {"ONE": "a part", "SHORT": "a part", "TWO_B": "b"}


def test_a_page_has_each_heading_once_and_says_labels_in_words() -> None:
    for path, make in PAGES.items():
        page = make()
        headings = [line for line in page.splitlines() if line.startswith("#")]
        assert len(headings) == len(set(headings)), path
        assert all(heading.strip("# ") for heading in headings), path
        assert "$labels" not in page, path
