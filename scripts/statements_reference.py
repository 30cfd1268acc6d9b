"""Write every statement that the service sends to PostgreSQL into one readable file, ``docs/statements.sql``.

``python scripts/statements_reference.py`` writes it, ``--check`` says whether it is up to date. Statements share parts
(the columns of a task, what holds a task), so in the code some stand in no one place as they are sent.
"""

import ast
import importlib
import pkgutil
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Executable, Insert, Table
from sqlalchemy.dialects.postgresql import asyncpg

from pointsman_contract.states import TaskState
from pointsman_service import store
from pointsman_service.failures.standing import GroupState
from pointsman_service.store import audit
from pointsman_service.store.audit import EntryFilter
from pointsman_service.store.errors import reading as errors
from pointsman_service.store.errors.reading import GroupFilter
from pointsman_service.store.metrics import folding, remembering, summing
from pointsman_service.store.tasks import acts, dead_letters, looking, reading
from pointsman_service.store.tasks.acts import WAITS, ActFilter, TaskActKind
from pointsman_service.store.tasks.dead_letters import DeadLetterFilter
from pointsman_service.store.tasks.reading import TaskFilter
from pointsman_service.store.upkeep import indexes, partitions, retention
from pointsman_service.store.workers import parents

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "statements.sql"
COMMAND = ".venv/bin/python scripts/statements_reference.py"
_HEAD = f"""\
-- Every statement that the service sends to PostgreSQL, by the file that holds it (below service/pointsman_service).
-- Parameters are written :name. The code assembles some from parts that they share; here each stands as it is sent.
-- Generated. To refresh it: {COMMAND}
"""
_WIDTH = 118
DAY = date(2000, 1, 1)
"""Stands for any day that has a partition."""
_NOW = datetime(2026, 11, 28, tzinfo=UTC)
_EVERYTHING = TaskFilter(
    queue="q", task_type="t", caller="c", worker="w", attempts=2, attempts_at_least=2, error_type="e",
    error_group=UUID(int=0), error_message="m", replayed=False, tags=[[{"a": "b"}]], submitted_after=_NOW,
    submitted_before=_NOW, finished_after=_NOW, finished_before=_NOW,
)  # fmt: skip
_LISTS = {
    "all": TaskFilter(),
    "of a queue": TaskFilter(queue="q"),
    "queued": TaskFilter(state=TaskState.QUEUED),
    "held": TaskFilter(state=TaskState.HELD),
    "held for a reason": TaskFilter(held_reason="r"),
    "failed": TaskFilter(state=TaskState.FAILED),
    "by tag": TaskFilter(tags=[[{"a": "b:c"}, {"a:b": "c"}]]),
    "run again": TaskFilter(replayed=True),
    "by all that is asked": _EVERYTHING,
}
_WAITING = ActFilter(
    queue="q", task_type="t", caller="c", worker="w", attempts=2, attempts_at_least=2, tags={"a": "b"},
    submitted_after=_NOW,
)  # fmt: skip
_ENDED = replace(
    _WAITING, error_type="e", error_group=UUID(int=0), error_message="m", finished_after=_NOW, finished_before=_NOW
)
_FAILURES = DeadLetterFilter("t", "e", "q", _NOW, _NOW)
_LACKING = indexes.LackingIndex(
    partitions.partition_name(DAY), "ix_task_finished_at", "USING btree (finished_at, id)", 0
)
_GROUPS = GroupFilter(_NOW, 3600, GroupState.OPEN, "t", "e", "q", after=(0, UUID(int=0)))
_WORKER = dict.fromkeys(("owner", "name", "pool", "queues", "processes", "pid", "host", "contract", "started_at"))


class Statement(NamedTuple):
    """One statement and where it comes from."""

    module: ModuleType
    name: str
    clause: Executable
    why: str
    """The comments above it in the code."""

    @property
    def sql(self) -> str:
        """As it is sent, with its parameters as ``:name``."""
        return _laid_out(self.compiled("named"))

    def compiled(self, paramstyle: Literal["named", "numeric_dollar"]) -> str:
        """As SQLAlchemy writes it for the driver, with parameters of this style."""
        dialect = asyncpg.dialect(paramstyle=paramstyle)  # type: ignore[no-untyped-call]
        keys = None
        if isinstance(self.clause, Insert) and isinstance(self.clause.table, Table):
            # What the database gives out by itself is not sent.
            keys = [column.name for column in self.clause.table.c if column.identity is None]
        return str(self.clause.compile(dialect=dialect, column_keys=keys))


def _built() -> Iterator[tuple[ModuleType, str, Any]]:
    """Those that depend on what is asked, with an example of each kind."""
    yield reading, "rows_statement (all)", reading.rows_statement(TaskFilter())[0]
    yield reading, "rows_statement (by all that is asked)", reading.rows_statement(_EVERYTHING)[0]
    for name, wanted in _LISTS.items():
        live = not wanted.only_ended
        yield from _looks(f"at_live ({name})", looking.at_live(wanted)) if live else ()
        if wanted.state is None or wanted.only_ended:
            yield from _looks(f"at_ended ({name})", looking.at_ended(wanted))
            yield from _looks(f"at_finished ({name})", looking.at_finished(wanted))
    for name, wanted in (("all", DeadLetterFilter()), ("by all that is asked", _FAILURES)):
        yield dead_letters, f"groups_of ({name})", dead_letters.groups_of(wanted)[0]
        yield dead_letters, f"groups_of_tasks ({name})", dead_letters.groups_of_tasks(wanted)[0]
        yield dead_letters, f"chosen_of ({name})", dead_letters.chosen_of(wanted)[0]
    ends = (TaskState.CANCELLED, TaskState.FAILED)
    for kind, wanted, states in ((TaskActKind.CANCEL, _WAITING, WAITS), (TaskActKind.RETRY, _ENDED, ends)):
        yield acts, f"part_of ({kind})", acts.part_of(kind, wanted, states)[0]
    yield errors, "page_of (changed)", errors.page_of(GroupFilter(_NOW, 60))[0]
    yield errors, "page_of (changed, by all that is asked)", errors.page_of(_GROUPS)[0]
    yield errors, "page_of (most, by all that is asked)", errors.page_of(replace(_GROUPS, most_first=True))[0]
    yield audit, "page_of (all)", audit.page_of(EntryFilter())[0]
    yield audit, "page_of (by all that is asked)", audit.page_of(EntryFilter("a", "c", "w", "s", _NOW, _NOW, 1))[0]
    for number, clause in enumerate(partitions.making(partitions.partition_name(DAY), DAY), 1):
        yield partitions, f"making, step {number}", clause
    for name, clause in retention.dropping_of(partitions.partition_name(DAY))._asdict().items():
        yield retention, f"dropping_of ({name})", clause
    for number, clause in enumerate(indexes.building(_LACKING), 1):
        yield indexes, f"building, step {number}", clause
    yield parents, "seeing (one worker)", parents.seeing([_WORKER])
    for rollup in (*folding.KINDS, *folding.BY_NAME):
        yield folding, f"find ({rollup.name})", rollup.find
        yield folding, f"replace ({rollup.name})", rollup.replace
    whole, parts = summing.statement("both", stepped=False, histograms=True), {"stepped": True, "histograms": True}
    yield summing, "statement (by task type and queue, in a window)", whole
    yield summing, "statement (by caller, in the steps of a window)", summing.statement("caller", **parts)
    spans = (("first_minutes", "minute"), ("first_hours", "hour"), ("days_now", "day"))
    known = remembering.statement("task_type", spans)
    yield remembering, "statement (by task type, until now)", known


def _looks(name: str, looks: looking.Looks) -> Iterator[tuple[ModuleType, str, Any]]:
    yield looking, f"{name}, down", looks.down
    if looks.gather is not None:
        yield looking, f"{name}, gather", looks.gather.statement


def statements() -> list[Statement]:
    """All of them, by file, in the order of the code."""
    found = []
    built = list(_built())
    for info in pkgutil.walk_packages(store.__path__, f"{store.__name__}."):
        module = importlib.import_module(info.name)
        whys = _comments(module)
        for name, value in vars(module).items():
            if name in whys:
                found += [Statement(module, one, clause, whys[name]) for one, clause in _clauses(name, value)]
        found += [Statement(module, name, clause, "") for home, name, clause in built if home is module]
    return found


def _clauses(name: str, value: object) -> Iterator[tuple[str, Executable]]:
    if isinstance(value, Executable):
        yield name, value
    elif isinstance(value, dict):
        for key, clause in value.items():
            if isinstance(clause, Executable):
                yield f"{name} ({key})", clause


def _comments(module: ModuleType) -> dict[str, str]:
    """What a module gives a name to at its top, with the comment that stands above."""
    assert module.__file__ is not None
    text = Path(module.__file__).read_text()
    lines = text.splitlines()
    found = {}
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        first = node.lineno - 1
        while first > 0 and lines[first - 1].startswith("#"):
            first -= 1
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
        found |= dict.fromkeys(names, "\n".join(line.lstrip("# ") for line in lines[first : node.lineno - 1]))
    return found


_BREAKS = re.compile(
    r"(?<=,) | (?=(?:AND|OR|CASE|WHEN|ELSE|FROM|JOIN|LEFT JOIN|CROSS JOIN|WHERE|GROUP BY|ORDER BY|LIMIT|FOR UPDATE|SET"
    r"|VALUES|RETURNING|USING|SELECT|ON CONFLICT)\b)"
)
"""Where a line may end: after a comma, or before what begins a part."""


def _laid_out(sql: str) -> str:
    lines = [line.rstrip() for line in sql.strip().splitlines() if line.strip()]
    rest = textwrap.dedent("\n".join(lines[1:])).splitlines()
    return "\n".join(short for line in (lines[0], *rest) for short in _broken(line))


def _broken(line: str) -> Iterator[str]:
    indent = line[: len(line) - len(line.lstrip())]
    begun = ""
    for part in _BREAKS.split(line.strip()):
        if begun and len(begun) + len(part) >= _WIDTH:
            yield begun
            begun = f"{indent}    {part}"
        else:
            begun = f"{begun} {part}" if begun else indent + part
    yield begun


def page() -> str:
    """The whole file."""
    parts = [_HEAD]
    last = None
    for statement in statements():
        module = statement.module
        if module is not last:
            path = module.__name__.removeprefix("pointsman_service.").replace(".", "/")
            first = (module.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
            said = textwrap.wrap(first, _WIDTH - 3)
            parts.append("\n".join(("-" * _WIDTH, f"-- {path}.py", *(f"-- {line}" for line in said))) + "\n")
            last = module
        why = [f"-- {line}" for line in statement.why.splitlines()]
        parts.append("\n".join((f"-- {statement.name}", *why, f"{statement.sql};")) + "\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Write the file, or with ``--check`` say what is not up to date."""
    written = page()
    if arguments == ["--check"]:
        if PAGE.is_file() and PAGE.read_text() == written:
            return 0
        print(f"{PAGE.relative_to(ROOT)} is not up to date: {COMMAND}", file=sys.stderr)
        return 1
    PAGE.write_text(written)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
