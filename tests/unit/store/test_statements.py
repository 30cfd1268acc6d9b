"""All SQL can be read in one file, and some of it may stand in one place only."""

import ast
import re
from pathlib import Path

import pytest

from pointsman_service import store
from tests.statements import ROOT, reference

HOME = Path(store.__path__[0])
BUILDERS = {
    "making", "dropping_of", "groups_of", "groups_of_tasks", "chosen_of", "page_of", "part_of", "seeing", "_replace",
    "building", "rows_statement", "at_ended", "at_finished", "_down", "_gathered", "statement", "_find",
}  # fmt: skip
"""Functions that make a statement; the reference has examples of each."""
MAKES = {"text", "insert", "upsert", "select", "delete", "update"}


def places(pattern: str) -> set[str]:
    """The files with a statement that matches."""
    return {
        statement.module.__name__.rpartition(".")[2]
        for statement in reference.statements()
        if re.search(pattern, statement.sql)
    }


def test_the_statements_in_the_docs_are_those_that_are_sent() -> None:
    assert reference.PAGE.read_text() == reference.page(), f"to refresh it: {reference.COMMAND}"


def test_tasks_are_born_in_one_place() -> None:
    born = [statement.sql for statement in reference.statements() if "INSERT INTO task_live" in statement.sql]
    columns = {re.sub(r"\s+", " ", sql.split("INSERT INTO task_live")[1].split("FROM (")[0]) for sql in born}
    assert len(born) == 3, "submissions without and with a key, and replays"
    assert len({text.replace(", replayed_from", "") for text in columns}) == 1, "all by the same part"


def test_tasks_end_in_one_place() -> None:
    assert places(r"DELETE FROM task_live\b") == {"ending"}
    # The others move rows between the days of their table.
    assert places(r"INSERT INTO task\b") == {"ending", "retention"}


def test_no_statement_changes_a_finished_task() -> None:
    assert places(r"UPDATE task\b") == set()


def test_every_statement_has_a_name_that_the_reference_finds() -> None:
    hidden = []
    for path in sorted(HOME.rglob("*.py")):
        if path.parent.name == "models":
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name not in BUILDERS:
                calls = (call.func for call in ast.walk(function) if isinstance(call, ast.Call))
                hidden += [
                    f"{path.name}: {function.name}"
                    for called in calls
                    if isinstance(called, ast.Name) and called.id in MAKES
                ]
    assert hidden == [], (
        "statements inside functions: name them at the top of the file, or give the reference an example"
    )


@pytest.mark.parametrize("line", ["SELECT a, b FROM t", "  WHERE a = 1"])
def test_a_short_line_stays_as_it_is(line: str) -> None:
    assert list(reference._broken(line)) == [line]


def test_the_reference_is_readable() -> None:
    lines = (ROOT / "docs" / "statements.sql").read_text().splitlines()
    assert max(map(len, lines)) <= 260, "what cannot be broken"
