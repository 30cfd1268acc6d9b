"""The pages for whoever changes the code name what is there, and every room is on the map."""

import re
from pathlib import Path

import pytest

from pointsman_contract.states import LEGAL_MOVES, TaskState
from tests.docs import named
from tests.stand.environment import ROOT

MAP = ROOT / "docs" / "architecture.md"
PAGES = (MAP, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "decisions").glob("*.md")))
DISTRIBUTIONS = (
    "client/pointsman_client",
    "contract/pointsman_contract",
    "service/pointsman_service",
    "workers/pointsman",
)

_ROW = re.compile(r"^\| `(?P<room>[\w/]+)/` \|", re.MULTILINE)
_ARROW = re.compile(r"^ *(?P<old>\w+) --> (?P<new>\w+)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_what_the_page_names_exists(page: Path) -> None:
    assert named.faults(page) == []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_room_is_on_the_map_and_none_that_is_gone(distribution: str) -> None:
    top = ROOT / distribution
    rooms = {str(made.parent.relative_to(top)) for made in top.rglob("__init__.py")} - {"."}
    section = re.split(r"^##+ ", MAP.read_text(encoding="utf-8").partition(f"### `{distribution}/`")[2], flags=re.M)[0]
    assert set(_ROW.findall(section)) == rooms


def test_the_diagram_of_states_shows_all_of_them_and_only_legal_moves() -> None:
    diagram = MAP.read_text(encoding="utf-8").partition("stateDiagram-v2")[2].partition("```")[0]
    arrows = {(found["old"], found["new"]) for found in _ARROW.finditer(diagram)}
    assert arrows <= {(old, new) for old, following in LEGAL_MOVES.items() for new in following}
    assert {state for arrow in arrows for state in arrow} == set(TaskState)


def test_every_decision_is_in_their_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert {page.name for page in folder.glob("[0-9]*.md") if f"({page.name})" not in index} == set()


@pytest.mark.parametrize(
    "said",
    [
        "`submit/writter.py`",
        "`gat.lua`",
        "`workers/pointsmen/`",
        "`pointsman_service.store.birthplace`",
        "`pointsman_service.store.store.Shop`",
        "`POST /v1/tusks`",
        "`DELETE /v1/tasks`",
        "`LEGAL_MOOVES`",
        "`Submitter.admitt`",
        "`python -m tests.tortoise`",
        "```sh\n./scripts/chek\n```",
        "```sh\n.venv/bin/python -m pytest tests/unid\n```",
    ],
)
def test_what_does_not_exist_is_found(said: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{said}\n")
    assert len(named.faults(page)) == 1


def test_what_exists_in_any_spelling_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`submit/writer.py` `service/pointsman_service/submit/writer.py` `gate.lua` `store/` `pointsman_service.app`"
        " `pointsman_service.app.Process` `POST /v1/tasks` `/v1/tasks` `LEGAL_MOVES` `Submitter.admit(...)`"
        " `pointsman:claim:<id>` `./scripts/test tests/unit` `NewTask`\n"
    )
    assert named.faults(page) == []
