"""What a task wrote, as callers read it."""

import json
from typing import Any

import httpx
import pytest

from pointsman_service.errors import TooManyListeners
from pointsman_service.live import run_logs as live
from pointsman_service.live.listeners import Listeners
from pointsman_service.live.run_logs import LineListener, LineStream
from pointsman_service.observe.tasks.run_logs import START, Position
from pointsman_service.store.tasks import run_logs
from pointsman_service.store.tasks.run_logs import Lines
from tests.integration.spine import Spine, new_task

NOW = 0.0


class Writer:
    """A task whose lines come in as the test says."""

    def __init__(self, spine: Spine) -> None:
        self.spine = spine
        self.id = ""

    async def begin(self) -> None:
        task = new_task()
        await self.spine.commits.join(task)
        await self.spine.commits.drain()
        self.id = task.id

    async def write(self, *texts: str, attempt: int = 1, first: int = 1, last: bool = False, run: str = "a") -> None:
        lines = json.dumps([[1_700_000_000.5, "info", "tests", text] for text in texts])
        async with self.spine.store.transaction() as connection:
            assert await run_logs.add(connection, [Lines(self.id, attempt, run, first, len(texts), last, lines)])

    async def end(self) -> None:
        await self.spine.run("DELETE FROM task_live")


@pytest.fixture
async def task(spine: Spine) -> Writer:
    made = Writer(spine)
    await made.begin()
    return made


async def read(api: httpx.AsyncClient, task: Writer, **given: Any) -> dict[str, Any]:
    answer = await api.get(f"/v1/tasks/{task.id}/logs", params=given)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def texts(page: dict[str, Any]) -> list[str]:
    return [item["text"] for item in page["items"]]


async def test_lines_are_read_in_the_order_in_which_they_came(api: httpx.AsyncClient, task: Writer) -> None:
    await task.write("one", "two")
    await task.write("three", first=3, last=True)
    page = await read(api, task)
    assert page["items"][0] == {
        "attempt": 1,
        "number": 1,
        "at": "2023-11-14T22:13:20.500000Z",
        "level": "info",
        "logger": "tests",
        "text": "one",
    }
    assert texts(page) == ["one", "two", "three"]
    assert page["attempts"] == [{"attempt": 1, "written": 3, "kept": 3, "dropped": 0, "complete": True}]
    assert page["next_cursor"] is None


async def test_answer_says_how_many_lines_went(api: httpx.AsyncClient, task: Writer) -> None:
    await task.write("late", first=1000)
    for number in range(1001, 1010):
        await task.write("x" * 8000, first=number)
    page = await read(api, task)
    assert [item["number"] for item in page["items"]] == list(range(1002, 1010))
    assert page["attempts"] == [{"attempt": 1, "written": 1009, "kept": 8, "dropped": 1001, "complete": False}]


async def test_task_that_wrote_nothing_has_an_empty_page(api: httpx.AsyncClient, task: Writer) -> None:
    assert await read(api, task) == {"items": [], "next_cursor": None, "tail_cursor": "0.0", "attempts": []}
    await task.write(first=1, last=True)
    page = await read(api, task, attempt=1)
    assert page["items"] == []
    assert page["attempts"] == [{"attempt": 1, "written": 0, "kept": 0, "dropped": 0, "complete": True}]


@pytest.mark.parametrize(("limit", "rows"), [(2, 64), (500, 2)])
async def test_pages_go_through_every_line_once(
    api: httpx.AsyncClient, task: Writer, monkeypatch: pytest.MonkeyPatch, limit: int, rows: int
) -> None:
    monkeypatch.setattr("pointsman_service.observe.tasks.run_logs._ROWS", rows)
    await task.write("1", "2", "3")
    await task.write("4", "5", attempt=2)
    await task.write("6", first=3, attempt=2)
    pages = [await read(api, task, limit=limit)]
    while pages[-1]["next_cursor"] is not None:
        pages.append(await read(api, task, limit=limit, cursor=pages[-1]["next_cursor"]))
    assert [text for page in pages for text in texts(page)] == ["1", "2", "3", "4", "5", "6"]
    assert len(pages) > 1


async def test_tail_goes_on_where_the_last_page_ended(api: httpx.AsyncClient, task: Writer) -> None:
    await task.write("one")
    page = await read(api, task)
    assert texts(await read(api, task, cursor=page["tail_cursor"])) == []
    await task.write("two", "three", first=2)
    page = await read(api, task, cursor=page["tail_cursor"], limit=1)
    assert texts(page) == ["two"]
    assert page["next_cursor"] == page["tail_cursor"]
    page = await read(api, task, cursor=page["tail_cursor"])
    assert texts(page) == ["three"]


async def test_an_attempt_can_be_read_alone(api: httpx.AsyncClient, task: Writer) -> None:
    await task.write("first", last=True)
    await task.write("second", attempt=2)
    page = await read(api, task, attempt=1)
    assert texts(page) == ["first"]
    assert [one["attempt"] for one in page["attempts"]] == [1]
    assert texts(await read(api, task, attempt=3)) == []


async def test_bad_parameters_are_refused(api: httpx.AsyncClient, task: Writer) -> None:
    bad: list[dict[str, Any]] = [{"cursor": "x"}, {"cursor": "1"}, {"attempt": 0}, {"attempt": 99999}]
    for given in (*bad, {"limit": 0}, {"limit": 1001}, {"tail": 1}):
        answer = await api.get(f"/v1/tasks/{task.id}/logs", params=given)
        assert answer.status_code == 422, given


async def test_unknown_task_has_no_logs_and_no_stream(api: httpx.AsyncClient, spine: Spine) -> None:
    for path in ("logs", "logs/events"):
        answer = await api.get(f"/v1/tasks/{new_task().id}/{path}")
        assert answer.status_code == 404
        assert answer.json()["type"].endswith("unknown-task")


async def told(listener: LineListener) -> list[str]:
    lines = await listener.next(NOW)
    assert lines is not None
    return [line.text for line in lines]


def stream_of(task: Writer, listeners: Listeners | None = None) -> LineStream:
    return LineStream(task.spine.store, Listeners(10) if listeners is None else listeners)


async def listen(stream: LineStream, task: Writer, attempt: int | None = None, after: Position = START) -> LineListener:
    (row,) = await task.spine.rows("SELECT CAST(:id AS uuid) AS id", id=task.id)
    return await stream.listen(row["id"], attempt, after)


async def test_listener_is_told_what_there_is_and_then_what_comes(task: Writer) -> None:
    stream = stream_of(task)
    await task.write("one")
    listener = await listen(stream, task)
    await task.write("two", first=2)
    await stream.single_pass()
    assert await told(listener) == ["one", "two"]
    assert await told(listener) == []
    await task.write("three", first=3)
    await task.write("four", first=4)
    await stream.single_pass()
    assert await told(listener) == ["three", "four"]
    assert await told(listener) == []


async def test_listener_goes_on_after_the_line_it_saw_last(task: Writer) -> None:
    stream = stream_of(task)
    await task.write("one", "two", "three")
    lines = await (await listen(stream, task)).next(NOW)
    assert lines is not None
    assert await told(await listen(stream, task, after=lines[1].position)) == ["three"]


async def test_listener_hears_of_its_task_and_its_attempt_alone(task: Writer, spine: Spine) -> None:
    stream = stream_of(task)
    other = Writer(spine)
    await other.begin()
    listener = await listen(stream, task, attempt=2)
    everything = await listen(stream, other)
    assert (await told(listener), await told(everything)) == ([], [])
    await task.write("first")
    await task.write("second", attempt=2)
    await other.write("other")
    await stream.single_pass()
    assert await told(listener) == ["second"]
    assert await told(everything) == ["other"]


async def test_stream_is_over_some_time_after_its_task(task: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_ENDED_SECONDS", 0.0)
    stream = stream_of(task)
    listener = await listen(stream, task)
    await stream.single_pass()
    assert await told(listener) == []
    await task.end()
    await stream.single_pass()
    # Its last lines may still come.
    assert await told(listener) == []
    await task.spine.run(
        "INSERT INTO run_log (task_id, attempt, run, first_line, line_count, is_last, lines) VALUES"
        ' (CAST(:id AS uuid), 1, \'a\', 1, 1, true, \'[[1.0, "info", "tests", "last words"]]\')',
        id=task.id,
    )
    monkeypatch.setattr(live, "_LAST_LINES_SECONDS", 0.0)
    await stream.single_pass()
    assert await told(listener) == ["last words"]
    assert await listener.next(NOW) is None
    assert listener.is_over


async def test_stream_is_over_at_once_when_the_last_lines_are_there(
    task: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_ENDED_SECONDS", 0.0)
    stream = stream_of(task)
    listener = await listen(stream, task)
    await task.write("one", last=True)
    await task.write("two", attempt=2, last=True)
    await task.spine.run(
        "WITH gone AS (DELETE FROM task_live RETURNING *) INSERT INTO task (id, state, task_type, queue, priority,"
        " attempt, sla_seconds, timeout_seconds, due_at, caller, args, kwargs) SELECT id, 'succeeded', task_type,"
        " queue, priority, 2, sla_seconds, timeout_seconds, due_at, caller, args, kwargs FROM gone"
    )
    await stream.single_pass()
    assert await told(listener) == ["one", "two"]
    assert await listener.next(NOW) is None
    assert listener.is_over


async def test_listener_that_falls_behind_is_cut_off(task: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_WAITING", 2)
    stream = stream_of(task)
    listener = await listen(stream, task)
    assert await told(listener) == []
    for number in range(3):
        await task.write(str(number), first=number + 1)
    await stream.single_pass()
    assert await listener.next(NOW) is None
    assert not listener.is_over


async def test_listeners_are_limited_and_end_with_their_process(task: Writer) -> None:
    listeners = Listeners(1)
    stream = stream_of(task, listeners)
    listener = await listen(stream, task)
    with pytest.raises(TooManyListeners, match="POINTSMAN_LISTENERS_MOST"):
        await listen(stream, task)
    stream.leave(listener)
    listener = await listen(stream, task)
    assert await told(listener) == []
    listeners.close()
    assert await listener.next(NOW) is None
    with pytest.raises(TooManyListeners):
        await listen(stream, task)


async def test_nobody_asks_while_nobody_listens(task: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_of(task)
    monkeypatch.setattr(task.spine.store, "statement", None)
    assert not await stream.single_pass()


async def test_events_are_lines_and_then_the_end(
    api: httpx.AsyncClient, app: Any, task: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_ENDED_SECONDS", 0.0)
    monkeypatch.setattr(live, "_LAST_LINES_SECONDS", 0.0)
    await task.write("one", "two")
    stream = app.state.parts.lines
    listen_to = stream.listen

    async def ended(*given: Any) -> LineListener:
        listener: LineListener = await listen_to(*given)
        await task.end()
        await stream.single_pass()
        return listener

    monkeypatch.setattr(stream, "listen", ended)
    answer = await api.get(f"/v1/tasks/{task.id}/logs/events", headers={"Last-Event-ID": "0.0"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    comment, lines, end, _ = answer.text.split("\n\n")
    assert comment.startswith(":")
    fields = dict(line.split(": ", 1) for line in lines.splitlines())
    assert fields["event"] == "lines"
    assert Position.of(fields["id"]).number == 2
    assert [item["text"] for item in json.loads(fields["data"])["items"]] == ["one", "two"]
    assert "event: end" in end
