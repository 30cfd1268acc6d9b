"""Whatever an API answers is drawn: a field that is left out or null, text that would steer a terminal, numbers of any
size. No line is longer or shorter than the screen, and nothing of it is a command.
"""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from pointsman_client.top.board import Board, Tab
from pointsman_client.top.page.frame import Size, draw
from pointsman_client.top.page.now import target_of
from pointsman_client.top.pen import Pen, plain, width
from pointsman_client.top.seen import NOW, Answer, Connection, Seen, as_of
from pointsman_client.top.targets import ALERTS, BREAKERS, ERRORS, WORKERS, Kind, Target, tasks_path
from tests.unit.client import pages

AT = 1000.0
HOSTILE = "\x1b[2J\x07\u202egnirts\u200b 漢字\U0001f9e8 " + "x" * 300 + "\r\n\x9b31m"
STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
TASK = Target(Kind.TASK, "01a20271-c811-71a5-99c0-510fde22a57d")
QUEUE = Target(Kind.QUEUE, "reports")
BREAKER = Target(Kind.BREAKER, "dependency:api.weather.com")
ERROR = Target(Kind.ERROR, "5b0f9a52-7c1e-8d3a-9f21-0c6c3f1f9b77")
ALERT = Target(Kind.ALERT, "01a20271-c811-71a5-99c0-510fde22a57e")
WORKER = Target(Kind.WORKER, "reports@host-1")
_LEFT_OUT: Any = object()


OPERATIONS: dict[str, str] = {
    NOW: "/v1/now",
    WORKERS: "/v1/workers",
    tasks_path({}): "/v1/tasks",
    BREAKERS: "/v1/breakers",
    ALERTS: "/v1/alerts",
    ERRORS: "/v1/errors",
    **dict(
        zip(
            TASK.paths,
            ["/v1/tasks/{task_id}", "/v1/tasks/{task_id}/explain", "/v1/tasks/{task_id}/attempts"],
            strict=True,
        )
    ),
    **dict(zip(QUEUE.paths, ["/v1/queues/{name}", "/v1/queues/{name}/explain"], strict=True)),
    **dict(zip(BREAKER.paths, ["/v1/breakers/{scope}/{name}", "/v1/breakers/{scope}/{name}/history"], strict=True)),
    **dict(zip(ERROR.paths, ["/v1/errors/{error_id}"], strict=True)),
    **dict(zip(ALERT.paths, ["/v1/alerts/{alert_id}"], strict=True)),
}
"""What is asked, and how the document calls it."""


def documents() -> dict[str, dict[str, Any]]:
    """Every answer, by its path."""
    found = {path: pages.example(operation) for path, operation in OPERATIONS.items()}
    return found | {NOW: pages.incident(), WORKERS: pages.workers()}


def places(
    value: Any, schema: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any, bool]]:
    """Every value in a document, where it is, and whether it may be null."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        parts = [part for one in variants(schema) if (part := part_of(one, key)) is not None]
        within = {"anyOf": parts}
        yield (*path, key), item, any(one.get("type") == "null" for one in variants(within))
        yield from places(item, within, (*path, key))


def variants(schema: Any) -> Iterator[dict[str, Any]]:
    """What a schema allows, without references."""
    if "$ref" in schema:
        schema = pages.schema_of(schema["$ref"])
    for name in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(name, ()):
            yield from variants(one)
    yield schema


def part_of(schema: dict[str, Any], key: str | int) -> Any:
    if isinstance(key, int):
        return schema.get("items")
    more = schema.get("additionalProperties")
    return schema.get("properties", {}).get(key, more if isinstance(more, dict) else None)


def otherwise(value: Any, may_be_null: bool) -> tuple[Any, ...]:
    """What may stand there instead. A release before this one has not every field."""
    always = (_LEFT_OUT, None) if may_be_null else (_LEFT_OUT,)
    if isinstance(value, bool) or value is None:
        return always
    if isinstance(value, int | float):
        return (*always, -1, 0, 10**15, 0.0001)
    if isinstance(value, str):
        return (*always, HOSTILE, "")
    return (*always, type(value)())


def changed(document: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    made: Any = copy.deepcopy(document)
    at = made
    for key in path[:-1]:
        at = at[key]
    if value is _LEFT_OUT:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return dict(made)


BOARDS = {
    NOW: [Board(), Board(Tab.QUEUES), Board(opened=[target_of(pages.incident()["causes"][1])])],
    WORKERS: [Board(), Board(Tab.WORKERS), Board(opened=[WORKER])],
    tasks_path({}): [Board(Tab.TASKS)],
    BREAKERS: [Board(Tab.BREAKERS)],
    ALERTS: [Board(Tab.ALERTS)],
    ERRORS: [Board(Tab.ERRORS)],
} | {path: [Board(opened=[target])] for target in (TASK, QUEUE, BREAKER, ERROR, ALERT) for path in target.paths}


@pytest.mark.parametrize("path", BOARDS)
def test_whatever_is_answered_fills_the_screen_and_steers_nothing(path: str) -> None:
    whole = documents()
    faults = []
    for place, value, may_be_null in places(whole[path], pages.answer_schema(OPERATIONS[path])):
        for other in otherwise(value, may_be_null):
            given = whole | {path: changed(whole[path], place, other)}
            seen = Seen(
                "http://127.0.0.1:8000",
                {one: Answer(document, AT) for one, document in given.items()},
                connection=Connection(streaming=True),
                as_of=as_of(given[NOW]),
                as_of_since=AT,
            )
            for board in BOARDS[path]:
                try:
                    lines = draw(board, seen, Size(80, 24), Pen(), AT)
                except Exception as error:
                    faults.append(f"{place} = {other!r:.30}: {type(error).__name__}: {error}")
                    continue
                if {width(line) for line in lines} != {80} or len(lines) != 24:
                    faults.append(f"{place} = {other!r:.30}: does not fit")
                if any(STEERS.search(plain(line)) for line in lines):
                    faults.append(f"{place} = {other!r:.30}: steers the terminal")
                if other is None and "None" in "".join(map(plain, lines)):
                    faults.append(f"{place} = {other!r:.30}: says None")
    if faults:
        pytest.fail("\n".join(dict.fromkeys(faults)))
