"""Whole screens, compared with those in ``pictures``. ``POINTSMAN_DRAW=1`` draws them anew, to be looked at."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pointsman_client.top.board import Board, Tab
from pointsman_client.top.page.frame import Size, draw
from pointsman_client.top.page.now import target_of
from pointsman_client.top.page.workers import state_of
from pointsman_client.top.pen import Pen, Style, plain, width
from pointsman_client.top.seen import NOW, Answer, Connection, Seen, as_of
from pointsman_client.top.targets import ALERTS, BREAKERS, ERRORS, WORKERS, Kind, Target, tasks_path
from tests.unit.client import pages

PICTURES = Path(__file__).parent / "pictures"
AT = 1000.0
"""By ``time.monotonic``."""
LISTS: dict[str, Callable[[], dict[str, Any]]] = {
    WORKERS: pages.workers,
    tasks_path({}): lambda: pages.example("/v1/tasks"),
    BREAKERS: lambda: pages.example("/v1/breakers"),
    ALERTS: lambda: pages.example("/v1/alerts"),
    ERRORS: lambda: pages.example("/v1/errors"),
}
TASK = Target(Kind.TASK, "01a20271-c811-71a5-99c0-510fde22a57d")
CAUSE = target_of(pages.incident()["causes"][1])


def seen(now: dict[str, Any] | None, more: Mapping[str, dict[str, Any]] | None = None, **fields: Any) -> Seen:
    """What has been read at ``AT``."""
    answers = {path: Answer(document(), AT) for path, document in LISTS.items()}
    answers |= {path: Answer(document, AT) for path, document in (more or {}).items()}
    if now is not None:
        answers[NOW] = Answer(now, AT)
    known = {"connection": Connection(streaming=True), "as_of": None if now is None else as_of(now), "as_of_since": AT}
    return Seen("http://127.0.0.1:8000", answers, **known | fields)


def of_task() -> dict[str, dict[str, Any]]:
    return dict(
        zip(
            TASK.paths,
            [
                pages.example("/v1/tasks/{task_id}"),
                pages.example("/v1/tasks/{task_id}/explain"),
                pages.example("/v1/tasks/{task_id}/attempts"),
            ],
            strict=True,
        )
    )


@dataclass
class Picture:
    seen: Callable[[], Seen]
    board: Callable[[], Board] = Board
    size: Size = field(default_factory=lambda: Size(80, 24))
    pen: Pen = field(default_factory=Pen)
    mono: float = AT
    keys: bool = True


def opened(*targets: Target) -> Board:
    return Board(opened=list(targets))


LOST = Connection(lost_since=AT, reason="connection refused", next_try=AT + 16.0)
DRAWN = {
    "healthy": Picture(lambda: seen(pages.healthy())),
    "incident": Picture(lambda: seen(pages.incident())),
    "incident-ascii": Picture(lambda: seen(pages.incident()), pen=Pen(ascii_only=True)),
    "incident-wide": Picture(lambda: seen(pages.incident()), size=Size(160, 40)),
    "incident-without-keys": Picture(lambda: seen(pages.incident()), keys=False),
    "unknown": Picture(lambda: seen(pages.unknown())),
    "unreachable-from-the-start": Picture(lambda: Seen("http://127.0.0.1:8000", connection=LOST), mono=AT + 12),
    "lost": Picture(lambda: seen(pages.incident(), connection=LOST), mono=AT + 12),
    "standing-still": Picture(lambda: seen(pages.healthy()), mono=AT + 20),
    "before-the-first-answer": Picture(lambda: Seen("http://127.0.0.1:8000")),
    "tasks": Picture(lambda: seen(pages.incident()), lambda: Board(Tab.TASKS)),
    "queues": Picture(lambda: seen(pages.incident()), lambda: Board(Tab.QUEUES)),
    "workers": Picture(lambda: seen(pages.incident()), lambda: Board(Tab.WORKERS)),
    "breakers": Picture(lambda: seen(pages.incident()), lambda: Board(Tab.BREAKERS)),
    "alerts": Picture(lambda: seen(pages.incident()), lambda: Board(Tab.ALERTS)),
    "errors": Picture(lambda: seen(pages.incident()), lambda: Board(Tab.ERRORS)),
    "filtered": Picture(lambda: seen(pages.incident()), lambda: Board(Tab.WORKERS, filters={Tab.WORKERS: "silent"})),
    "help": Picture(lambda: seen(pages.healthy()), lambda: Board(helping=True)),
    "a-task": Picture(lambda: seen(pages.incident(), of_task()), lambda: opened(TASK), Size(100, 40)),
    "a-cause": Picture(lambda: seen(pages.incident()), lambda: opened(CAUSE)),
    "small": Picture(lambda: seen(pages.incident()), size=Size(40, 10)),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_screen_is_as_its_picture(name: str) -> None:
    picture = DRAWN[name]
    lines = draw(picture.board(), picture.seen(), picture.size, picture.pen, picture.mono, keys=picture.keys)
    assert (len(lines), {width(line) for line in lines}) == (picture.size.height, {picture.size.width})
    drawn = "\n".join(plain(line).rstrip() for line in lines) + "\n"
    file = PICTURES / f"{name}.txt"
    if os.environ.get("POINTSMAN_DRAW"):
        file.write_text(drawn, encoding="utf-8")
    assert drawn == file.read_text(encoding="utf-8")
    assert not picture.pen.ascii_only or drawn.isascii()


def test_every_picture_is_drawn() -> None:
    assert {file.stem for file in PICTURES.glob("*.txt")} == set(DRAWN)


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (20, 5), (80, 24), (81, 25), (200, 60), (320, 80)])
@pytest.mark.parametrize("tab", Tab)
def test_every_page_fills_a_screen_of_any_size_exactly(tab: Tab, columns: int, rows: int) -> None:
    lines = draw(Board(tab), seen(pages.incident()), Size(columns, rows), Pen(), AT)
    assert len(lines) == rows
    assert {width(line) for line in lines} == {columns}


def test_in_80_by_24_the_first_page_has_verdict_causes_queues_workers_breakers_alerts_and_failures() -> None:
    text = "\n".join(plain(line) for line in draw(Board(), seen(pages.incident()), Size(80, 24), Pen(), AT))
    assert "DEGRADED" in text
    for said in ("reports has no live worker", "api.bank.example has failed since 08:30:00", "212 tasks are held"):
        assert said in text
    queues = [queue["name"] for queue in pages.incident()["queues"]]
    assert all(f"\n{name}" in text for name in (*queues, "workers ", "breakers ", "alerts ", "failures ", "changed "))


def test_old_figures_have_no_colour_but_the_word_that_says_so() -> None:
    fresh = draw(Board(), seen(pages.incident()), Size(80, 24), Pen(), AT)
    old = draw(Board(), seen(pages.incident(), connection=LOST), Size(80, 24), Pen(), AT + 12)
    body = slice(2, 22)
    assert {span.style for line in fresh[body] for span in line} >= {Style.BAD, Style.GOOD}
    assert {span.style for line in old[body] for span in line} <= {Style.DIM, Style.CHOSEN, Style.PLAIN}
    assert "No answer for 12 s: connection refused. Tried again in 4 s." in plain(old[1])
    assert "(12 s ago)" in plain(old[-1])


def test_only_lines_that_say_something_else_change_in_a_second() -> None:
    first = draw(Board(), seen(pages.healthy()), Size(80, 24), Pen(), AT)
    second = draw(Board(), seen(pages.healthy()), Size(80, 24), Pen(), AT + 1)
    assert first == second


def test_what_a_task_says_cannot_steer_the_terminal() -> None:
    now = pages.incident()
    evil = "\x1b[2J\x1b]0;owned\x07\x9b31m \u202e\u2066\r\nsecond line\u200b"
    now["causes"][0]["sentence"] = now["errors"][0]["label"] = now["queues"][0]["state_reason"] = evil
    task = of_task()
    task[TASK.paths[0]]["error"] = {"type": evil, "message": evil, "traceback": evil, "group": None}
    for board in (Board(), Board(Tab.QUEUES), opened(TASK), opened(target_of(now["causes"][0]))):
        for line in draw(board, seen(now, task), Size(160, 60), Pen(), AT):
            text = plain(line)
            assert text.isprintable(), repr(text)
            assert not set(text) & set("\u202e\u2066\u200b")


def test_every_part_of_an_example_is_shown_without_a_none() -> None:
    paths = {
        Target(Kind.QUEUE, "email"): ("/v1/queues/{name}", "/v1/queues/{name}/explain"),
        Target(Kind.BREAKER, "dependency:a"): ("/v1/breakers/{scope}/{name}", "/v1/breakers/{scope}/{name}/history"),
        Target(Kind.ERROR, "e"): ("/v1/errors/{error_id}",),
        Target(Kind.ALERT, "a"): ("/v1/alerts/{alert_id}",),
        TASK: ("/v1/tasks/{task_id}", "/v1/tasks/{task_id}/explain", "/v1/tasks/{task_id}/attempts"),
    }
    for target, asked in paths.items():
        more = dict(zip(target.paths, map(pages.example, asked), strict=True))
        drawn = "\n".join(
            plain(line) for line in draw(opened(target), seen(pages.incident(), more), Size(160, 60), Pen(), AT)
        )
        assert "None" not in drawn, drawn
        assert len(drawn.split()) > 30, drawn


def test_a_worker_that_ended_in_order_is_gone_and_needs_nobody() -> None:
    ended = {"name": "email@h", "live": False, "left": True, "processes": 2}
    assert state_of(ended) == "gone"
    assert state_of(ended | {"left": None}) == state_of({"live": False}) == "silent"
    assert state_of(ended | {"live": True, "ejected": False}) == "live", "it runs what it has"
