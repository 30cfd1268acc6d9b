"""What an outbox writes, and what a relay makes of what it is answered; over real HTTP, and a database in a file."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine, select, update
from sqlalchemy.orm import Session

from pointsman_client import Client
from pointsman_client.command import main
from pointsman_client.errors import NeverSent, Refused, Unreachable
from pointsman_client.outbox.relay import Pass, Relay
from pointsman_client.outbox.rows import RowState
from pointsman_client.outbox.sqlalchemy import Outbox
from tests.unit.client.scripted import RESET, Scripted, answer, problem, scripted

BACKLOG_FULL = {"type": "urn:pointsman:problem:backlog-full", "detail": "As many tasks wait as may.", "status": 503}
UNKNOWN = {"type": "urn:pointsman:problem:unknown-task-type", "detail": "There is no such task type.", "status": 422}
NOWHERE = "http://127.0.0.1:9"


class Desk:
    """An outbox and its database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.clients: list[Client] = []
        self.metadata = MetaData()
        self.outbox = Outbox(self.metadata)
        self.metadata.create_all(engine)

    def submit(self, *task_types: str) -> list[str]:
        """Commit a task of each type; their keys."""
        with Session(self.engine) as session, session.begin():
            return [self.outbox.submit(session, one, number).key for number, one in enumerate(task_types)]

    def relay(self, url: str, **options: Any) -> Relay:
        """One that sends there."""
        self.clients.append(Client(url))
        return Relay(self.outbox.rows(self.engine), self.clients[-1], **({"batch": 10} | options))

    def rows(self) -> list[Any]:
        """All, in order."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(self.outbox.table).order_by(self.outbox.table.c.id)))

    def states(self) -> list[str]:
        """Of all."""
        return [row.state for row in self.rows()]

    def set(self, **values: Any) -> None:
        """Of all rows."""
        with self.engine.begin() as connection:
            connection.execute(update(self.outbox.table).values(values))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    desk = Desk(engine)
    yield desk
    for client in desk.clients:
        client.close()
    engine.dispose()


def batch(*results: str | dict[str, Any]) -> bytes:
    """The answer to one: an id, or a problem, for each."""
    said = [
        {"status": 202, "task": {"id": one}} if isinstance(one, str) else {"status": one["status"], "problem": one}
        for one in results
    ]
    return answer(207, {"accepted": 0, "refused": 0, "results": said})


def sent(api: Scripted) -> list[list[str]]:
    """The keys of each request."""
    return [[task["idempotency_key"] for task in asked.body["tasks"]] for asked in api.asked]


def test_what_is_rolled_back_is_never_sent_and_what_is_committed_is_sent_once(desk: Desk) -> None:
    with Session(desk.engine) as session:
        desk.outbox.submit(session, "echo", "rolled back")
        session.rollback()
        pending = desk.outbox.with_options(queue="email", tags={"a": "b"}, delay_seconds=60).submit(
            session, "echo", 1, to="ada"
        )
        session.commit()
    with scripted(batch("t-1")) as api:
        relay = desk.relay(api.url)
        assert relay.single_pass() == Pass(sent=1)
        assert relay.single_pass() == Pass()
    (task,) = api.asked[0].body["tasks"]
    due = datetime.fromisoformat(task.pop("scheduled_at")) - datetime.now(UTC)
    assert timedelta(seconds=50) < due < timedelta(seconds=61)
    assert task == {
        "task_type": "echo", "args": [1], "kwargs": {"to": "ada"}, "queue": "email",
        "tags": {"a": "b", "outbox_key": pending.key}, "idempotency_key": pending.key,
    }  # fmt: skip
    assert pending.tag == f"outbox_key:{pending.key}"
    with desk.engine.connect() as connection:
        found = desk.outbox.find(connection, pending.key)
    assert found is not None
    assert (found.state, found.task_id, found.tries) == (RowState.SENT, "t-1", 1)


def test_what_no_submission_can_say_ends_the_transaction_and_not_the_relay(desk: Desk) -> None:
    with Session(desk.engine) as session:
        wrongs: tuple[tuple[Callable[[], object], type[Exception]], ...] = (
            (lambda: desk.outbox.submit(session, "echo", object()), TypeError),
            (lambda: desk.outbox.submit(session, "echo", float("nan")), ValueError),
            (lambda: desk.outbox.submit(session, "echo", datetime.now()), ValueError),  # noqa: DTZ005 - that is it
            (lambda: desk.outbox.submit(session, ""), ValueError),
            (lambda: desk.outbox.with_options(idempotency_key="a\nb").submit(session, "echo"), ValueError),
            (lambda: desk.outbox.with_options(tags={"outbox_key": "mine"}).submit(session, "echo"), ValueError),
            (lambda: desk.outbox.submit("echo", "session"), TypeError),  # type: ignore[call-overload]
        )
        for wrong, error in wrongs:
            with pytest.raises(error):
                wrong()
    connection = desk.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with connection, pytest.raises(ValueError, match="needs a transaction"):
        desk.outbox.submit(connection, "echo")
    assert desk.rows() == []


def test_an_answer_that_gets_lost_is_asked_for_again_with_the_same_bytes(desk: Desk) -> None:
    desk.submit("echo", "echo")
    with scripted(RESET, batch("t-1", "t-2")) as api:
        relay = desk.relay(api.url)
        lost = relay.single_pass()
        assert isinstance(lost.failed, Unreachable)
        assert [row.doubtful_since is None for row in desk.rows()] == [False, False]
        assert relay.single_pass().sent == 2
    assert api.asked[0].body == api.asked[1].body
    assert desk.states() == ["sent", "sent"]


def test_a_relay_that_dies_before_it_has_written_leaves_its_rows_to_another(desk: Desk) -> None:
    keys = desk.submit("echo")
    rows = desk.outbox.rows(desk.engine)
    now = datetime.now(UTC)
    assert [row.key for row in rows.claim("dead", 10, now, now + timedelta(seconds=90))] == keys
    with scripted(batch("t-1")) as api:
        assert desk.relay(api.url).single_pass() == Pass()
        desk.set(next_at=now - timedelta(seconds=1))
        assert desk.relay(api.url).single_pass() == Pass(sent=1)
        assert sent(api) == [keys]
    # What the dead one had to say comes too late.
    rows.settle("dead", {1: {"state": "refused"}}, [1])
    assert desk.states() == ["sent"]


def test_one_that_is_refused_keeps_its_problem_and_blocks_no_other(desk: Desk) -> None:
    desk.submit("echo", "no.such", "no.such.either", "full", "echo")
    rows = desk.outbox.rows(desk.engine)
    with scripted(batch("t-1", UNKNOWN, UNKNOWN, BACKLOG_FULL, "t-5"), batch("t-2")) as api:
        relay = desk.relay(api.url)
        assert relay.single_pass() == Pass(sent=2, refused=2, put_off=1)
        listed = rows.refused(10)
        assert [(one.task_type, (one.problem or {})["type"]) for one in listed] == [
            ("no.such", UNKNOWN["type"]), ("no.such.either", UNKNOWN["type"])
        ]  # fmt: skip
        assert relay.single_pass() == Pass()
        assert (rows.drop([listed[1].id]), rows.retry(None), rows.retry(None)) == (1, 1, 0)
        assert relay.single_pass() == Pass(sent=1)
    assert desk.states() == ["sent", "sent", "waiting", "sent"]


@pytest.mark.parametrize("code", ["backlog-full", "breaker-open"])
def test_tasks_that_cannot_be_taken_now_make_room_for_others(desk: Desk, code: str) -> None:
    """When nothing is accepted the whole answer is of the first of them."""
    full = desk.submit("full", "full")
    with scripted(problem(code, 503), batch("t-3")) as api:
        relay = desk.relay(api.url, batch=2)
        done = relay.single_pass()
        assert (done.put_off, done.failed, done.has_more) == (2, None, True)
        other = desk.submit("echo")
        assert relay.single_pass().sent == 1
    assert sent(api) == [full, other]
    assert [row.doubtful_since for row in desk.rows()] == [None, None, None]


def test_what_somebody_on_the_way_refuses_is_put_off_and_not_refused_for_good(desk: Desk) -> None:
    desk.submit("echo", "echo")
    with scripted(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 6\r\n\r\n<html>") as api:
        assert desk.relay(api.url).single_pass().put_off == 2
    assert desk.states() == ["waiting", "waiting"]


def test_one_that_refuses_a_whole_request_is_found(desk: Desk) -> None:
    keys = desk.submit("echo", "echo", "outside", "echo")
    with scripted(
        problem("outside-key", 403), batch("t-1", "t-2"), problem("outside-key", 403), problem("outside-key", 403),
        batch("t-4"),
    ) as api:  # fmt: skip
        done = desk.relay(api.url).single_pass()
    assert (done.sent, done.put_off, done.refused) == (3, 1, 0)
    assert sent(api) == [keys, keys[:2], keys[2:], keys[2:3], keys[3:]]


def test_an_api_that_always_errs_is_left_alone_for_a_while(desk: Desk) -> None:
    desk.submit(*["echo"] * 10)
    with scripted(problem("internal", 500)) as api:
        done = desk.relay(api.url).single_pass()
        assert (done.sent, done.put_off) == (0, 10)
        assert isinstance(done.failed, Refused)
        assert len(api.asked) == 19


@pytest.mark.parametrize(
    ("said", "asked_seconds"),
    [(problem("unavailable", 503, Retry_After="7"), 7.0), (problem("too-many-requests", 429, Retry_After="7"), 7.0),
     (problem("key-revoked", 401), None), (problem("not-found", 404), None), (answer(200, {"hello": "you"}), None)],
)  # fmt: skip
def test_what_no_row_is_at_fault_for_is_held_against_none(desk: Desk, said: bytes, asked_seconds: float | None) -> None:
    keys = desk.submit("echo", "echo")
    with scripted(said, batch("t-1", "t-2")) as api:
        relay = desk.relay(api.url)
        failed = relay.single_pass().failed
        assert isinstance(failed, Refused)
        assert failed.retry_after_seconds == asked_seconds
        assert [row.tries for row in desk.rows()] == [0, 0]
        assert json.loads(desk.rows()[0].problem)
        assert relay.single_pass().sent == 2
    assert sent(api) == [keys, keys]


def test_what_was_never_sent_is_in_no_doubt_however_long_nobody_listens(desk: Desk) -> None:
    desk.submit("echo")
    assert isinstance(desk.relay(NOWHERE).single_pass().failed, NeverSent)
    (row,) = desk.rows()
    assert (row.doubtful_since, row.claim, row.next_at) == (None, None, None)


TASK: dict[str, Any] = {"id": "t-1", "task_type": "echo", "state": "succeeded"}


def test_after_its_key_is_forgotten_the_task_is_looked_for_before_anything_is_sent(desk: Desk) -> None:
    (key,) = desk.submit("echo")
    desk.set(doubtful_since=datetime.now(UTC) - timedelta(hours=22))
    with scripted(answer(200, {"items": [], "next_cursor": "c"}), answer(200, {"items": [TASK]})) as api:
        assert desk.relay(api.url).single_pass() == Pass(sent=1)
        assert [asked.line.split("?")[0] for asked in api.asked] == ["GET /v1/tasks"] * 2
        assert f"tag=outbox_key%3A{key}" in api.asked[0].line
    assert desk.rows()[0].task_id == "t-1"


def test_where_there_is_no_such_task_it_is_sent_again_with_a_new_doubt(desk: Desk) -> None:
    desk.submit("echo", "echo")
    desk.set(doubtful_since=datetime.now(UTC) - timedelta(hours=22))
    nothing = answer(200, {"items": [], "next_cursor": None})
    with scripted(nothing, nothing, RESET) as api:
        assert isinstance(desk.relay(api.url).single_pass().failed, Unreachable)
    since = desk.rows()[0].doubtful_since.replace(tzinfo=UTC)
    assert datetime.now(UTC) - since < timedelta(minutes=1)


@pytest.mark.parametrize("how", ["removed", "not to be seen"])
def test_what_nobody_can_know_is_left_to_a_person(desk: Desk, how: str) -> None:
    desk.submit("echo")
    since = datetime.now(UTC) - timedelta(days=8 if how == "removed" else 1)
    desk.set(doubtful_since=since)
    said = problem("scope-missing", 403) if how == "not to be seen" else answer(200, {"items": [], "next_cursor": None})
    with scripted(said, batch("t-1")) as api:
        relay = desk.relay(api.url)
        assert relay.single_pass() == Pass(refused=1)
        (listed,) = desk.outbox.rows(desk.engine).refused(10)
        assert (listed.problem or {})["type"].endswith("outbox-in-doubt")
        assert desk.outbox.rows(desk.engine).retry([listed.id]) == 1
        assert relay.single_pass() == Pass(sent=1)


def test_sent_rows_are_deleted_when_they_were_kept_long_enough(desk: Desk) -> None:
    desk.submit("echo")
    with scripted(batch("t-1")) as api:
        desk.relay(api.url, keep_seconds=0).single_pass()
    assert desk.rows() == []
    desk.submit("echo")
    with scripted(batch("t-1")) as api:
        desk.relay(api.url).single_pass()
        desk.set(next_at=datetime.now(UTC) - timedelta(seconds=1))
        desk.relay(api.url).single_pass()
    assert desk.rows() == []


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"batch": 1001}, {"call_seconds": 90}, {"key_seconds": 600}, {"call_seconds": 0}]
)
def test_numbers_that_do_not_fit_together_are_refused(desk: Desk, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"batch|call_seconds"):
        desk.relay(NOWHERE, **wrong)


def test_the_command_relays_shows_what_was_refused_and_sends_it_again(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "url"
    secret.write_text(f"{desk.engine.url}\n")

    def said(*words: str, url: str = NOWHERE) -> tuple[int, str]:
        status = main(["relay", *words, "--url", url, "--database-url-file", str(secret)])
        told = capsys.readouterr()
        return status, told.out + told.err

    desk.submit("echo", "no.such")
    assert said("once") == (2, "0 sent, 0 refused, 0 put off\nnot all: connection refused\n")
    at_fault = UNKNOWN | {"errors": [{"pointer": "/task_type", "detail": "unknown task type"}]}
    with scripted(batch("t-1", at_fault), batch("t-2")) as api:
        status, out = said("once", url=api.url)
        assert (status, "1 sent, 1 refused, 0 put off\n" in out) == (0, True)
        told = said("refused")[1]
        assert told.startswith("2  no.such  pm-")
        assert told.endswith("  There is no such task type. /task_type: unknown task type\n")
        assert said("retry", "all") == (0, "1 to be sent again\n")
        assert said("once", url=api.url)[1] == "1 sent, 0 refused, 0 put off\n"
    assert said("drop", "all") == (0, "0 deleted\n")
    for words in (["retry"], ["once", "7"], ["drop", "x"]):
        with pytest.raises(SystemExit, match="64"):
            said(*words)
    secret.write_text("post gres://secret@here")
    assert said("once")[0] == 64
    secret.write_text(f"sqlite:///{tmp_path}/empty.db")
    assert said("refused") == (2, "the database of the outbox is away: no such table: pointsman_outbox\n")
    status = main(["relay", "once", "--url", NOWHERE, "--database-url-file", str(tmp_path / "none")])
    assert (status, "cannot be read" in capsys.readouterr().err) == (64, True)


WITHOUT_GREENLET = """
import sys
sys.modules["greenlet"] = None
from sqlalchemy import MetaData, create_engine
from pointsman_client.outbox.sqlalchemy import Outbox
outbox, engine = Outbox(MetaData()), create_engine("sqlite://")
with engine.begin() as connection:
    outbox.table.create(connection)
    print(outbox.find(connection, outbox.submit(connection, "echo").key).task_type)
"""


def test_who_blocks_needs_nothing_of_who_does_not() -> None:
    """SQLAlchemy brings greenlet with its own extra alone."""
    words = [sys.executable, "-c", WITHOUT_GREENLET]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "echo\n"
