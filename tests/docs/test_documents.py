"""References in documents and comments exist: links, paths, commands, settings, rules."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Final

import pytest

from setup.local.folder import CHECKOUT
from tests.docs import repository
from tests.docs.markdown import anchors, blocks, links, spans
from tests.kuberay.pods.hosts import OUT_OF_SERVICE

_GENERATED: Final = frozenset({"tests/webpanel/ui/web/dist", ".run", ".venv", ".cache"})
_NOT_SETTINGS: Final = frozenset({"TAGS_LOG_FORMAT", "TAGS_"})
"""Read by Ray's set-up; the prefix by itself."""
_ELSEWHERE: Final = frozenset({"shared/crds/README.md"})
"""The operators' CRDs, which are too large for the repository; tests that need them skip."""

ARCHITECTURE: Final = (CHECKOUT / "docs/architecture.md").read_text()


def text(name: str) -> str:
    return (CHECKOUT / name).read_text()


def exists(path: str) -> bool:
    """Whether it is a file, a folder, or a pattern that matches a file."""
    path = path.rstrip("/")
    if path in repository.files() or path in repository.folders():
        return True
    if "*" in path:
        return any(PurePosixPath(name).match(path) for name in repository.files())
    return path in _GENERATED or any(path.startswith(f"{name}/") for name in _GENERATED)


def code(name: str) -> list[str]:
    """Inline code, and lines of code blocks, of a document."""
    document = text(name)
    joined = (block.replace("\\\n", " ") for block in blocks(document))
    return [*spans(document), *(line for block in joined for line in block.splitlines())]


@pytest.mark.parametrize("name", repository.documents())
def test_links_lead_somewhere(name: str) -> None:
    broken = []
    for link in links(text(name)):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = normpath(str(Path(name).parent / path)) if path else name
        if not exists(target):
            broken.append(link)
        elif anchor and anchor not in anchors(text(target)):
            broken.append(f"{link}: no such heading")
    assert not broken


def paths_in(piece: str, tops: frozenset[str]) -> Iterator[str]:
    """Words that look like paths relative to the checkout."""
    for word in re.split(r"[\s,;:=\"'()<>|]+", piece):
        if word.split("/")[0] in tops and "/" in word and "…" not in word:
            yield word.rstrip(".")


@pytest.mark.parametrize("name", repository.living_documents())
def test_paths_are_there(name: str) -> None:
    tops = frozenset(top.split("/")[0] for top in repository.folders()) - {"."}
    missing = [
        path
        for piece in code(name)
        for path in paths_in(piece, tops)
        if not exists(path) and not exists(str(Path(name).parent / path))
    ]
    assert not missing


@pytest.mark.parametrize("name", repository.living_documents())
def test_make_targets_and_variables_are_there(name: str) -> None:
    wrong = []
    for piece in code(name):
        for command in re.findall(r"(?:^|[ &])make((?: +[\w./=\"'-]+)+)", piece):
            for word in command.split():
                variable, given, _ = word.partition("=")
                if given:
                    if variable not in repository.make_variables():
                        wrong.append(f"make {variable}=")
                elif re.fullmatch(r"[a-z][a-z-]*", word) and not word.startswith("-"):
                    if word not in repository.make_targets():
                        wrong.append(f"make {word}")
                else:
                    break
    assert not wrong


@pytest.mark.parametrize("name", repository.living_documents())
def test_modules_are_there(name: str) -> None:
    ours = tuple(repository.our_packages())
    modules = [one for piece in code(name) for one in re.findall(r"python -m ([\w.]+)", piece)]
    missing = [
        module
        for module in modules
        if module.split(".")[0] in ours and not repository.is_module(module)
    ]
    assert not missing


@pytest.mark.parametrize("name", repository.living_documents())
def test_settings_are_there(name: str) -> None:
    named = {one for piece in code(name) for one in re.findall(r"\bTAGS_[A-Z_]*", piece)}
    assert not named - repository.variables() - _NOT_SETTINGS


def test_code_refers_to_documents_that_are_there() -> None:
    wrong = []
    for name in repository.sources():
        source = text(name)
        # What makes a page has its links, which lead from docs/.
        folder = "docs" if name.startswith("setup/docs/") else str(Path(name).parent)
        for path in re.findall(r"(?<![\w./-])[\w.-][\w./-]*\.md\b", source):
            beside = normpath(f"{folder}/{path}")
            if not exists(normpath(path)) and not exists(beside) and path not in _ELSEWHERE:
                wrong.append(f"{name}: {path}")
        if name.split("/")[:2] != ["tests", "docs"]:
            # The design has its page here now, with rules that have names.
            wrong += [f"{name}: {one}" for one in re.findall(r"\bDESIGN\b.{0,4}", source)]
        for rule in re.findall(r"docs/architecture\.md, ([IC]\d+)", source):
            if f"**{rule}**" not in ARCHITECTURE and f"**{rule}. " not in ARCHITECTURE:
                wrong.append(f"{name}: no {rule} in docs/architecture.md")
    assert not wrong


def test_rules_and_choices_are_numbered_without_a_gap() -> None:
    rules = [int(one) for one in re.findall(r"\*\*I(\d+)\*\*", ARCHITECTURE)]
    choices = [int(one) for one in re.findall(r"^\*\*C(\d+)\. ", ARCHITECTURE, re.MULTILINE)]
    assert rules == list(range(1, len(rules) + 1))
    assert choices == list(range(1, len(choices) + 1))
    assert rules
    assert choices


def test_every_bench_is_in_the_list() -> None:
    named = set(spans(text("tests/bench/README.md")))
    benches = {
        Path(name).parts[2].removesuffix(".py")
        for name in repository.files()
        if re.match(r"tests/bench/(?!_)\w+(\.py|/__main__\.py)$", name)
    }
    assert benches <= named


def test_every_folder_of_tests_is_explained() -> None:
    page = text("docs/testing.md")
    folders = {Path(name).parts[1] for name in repository.files() if "/test_" in name}
    assert not {folder for folder in folders if f"tests/{folder}/" not in page}


def test_a_lost_host_is_tainted_as_the_test_on_pods_does_it() -> None:
    assert f"kubectl taint nodes NODE {OUT_OF_SERVICE}" in code("docs/kubernetes/recovery.md")


def test_the_readme_is_two_screens() -> None:
    assert len(text("README.md").splitlines()) <= 120


def test_every_document_is_reachable_from_the_readme() -> None:
    seen, left = {"README.md"}, ["README.md"]
    while left:
        name = left.pop()
        for link in links(text(name)):
            target = normpath(str(Path(name).parent / link.partition("#")[0]))
            for found in (target, f"{target}/README.md"):
                if found in repository.documents() and found not in seen:
                    seen.add(found)
                    left.append(found)
    assert set(repository.documents()) == seen


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Three *words*, and `code`", "three-words-and-code"),
        ("The front (C1/C5)", "the-front-c1c5"),
        ("A [link](https://example.org) in_it", "a-link-in_it"),
    ],
)
def test_anchors_are_those_of_github(heading: str, anchor: str) -> None:
    assert anchors(f"## {heading}\n## {heading}\n") == {anchor, f"{anchor}-1"}
