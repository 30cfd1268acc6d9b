"""Every link between pages leads somewhere."""

import re
from pathlib import Path

import pytest

from tests.stand.environment import ROOT

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))

_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(?P<words>.+?) *$", re.MULTILINE)
_BLOCK = re.compile(r"^( *)```.*?^\1``` *$", re.MULTILINE | re.DOTALL)


def _prose(page: Path) -> str:
    return _BLOCK.sub("", page.read_text())


def anchor(heading: str) -> str:
    """What GitHub calls a heading in a link."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def _anchors(page: Path) -> set[str]:
    return {anchor(found["words"]) for found in _HEADING.finditer(_prose(page))}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    faults = []
    for found in _LINK.finditer(_prose(page)):
        target = found["target"]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, name = target.partition("#")
        leads_to = (page.parent / path).resolve() if path else page
        if not leads_to.exists():
            faults.append(f"{target}: there is no such file")
        elif name and name not in _anchors(leads_to):
            faults.append(f"{target}: there is no such heading")
    assert not faults


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("./scripts/up does not start", "scriptsup-does-not-start"),
        ("`async def`", "async-def"),
        ("Later, or not at all", "later-or-not-at-all"),
        ("422 unknown task type", "422-unknown-task-type"),
    ],
)
def test_headings_are_named_as_github_names_them(heading: str, name: str) -> None:
    assert anchor(heading) == name
