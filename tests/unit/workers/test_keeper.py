from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from pointsman.node.keeper import Keeper, Note, Outcome, position
from pointsman.settings import Settings


class FakeRedis:
    """Answers like the scripts; ``epoch`` and ``recorded`` are what the control hash holds."""

    stamp = None
    run_id = "r1"

    def __init__(self) -> None:
        self.epoch: str | None = "1"
        self.server = "r1"
        self.recorded: str | None = None
        self.appended: list[tuple[str, Any]] = []
        self.number = 100

    def command(self, *words: Any) -> list[str | None]:
        assert words[0] == "HMGET"
        return [self.epoch, self.server, self.recorded]

    def scripts(self, name: str, calls: list[Any]) -> list[list[Any]]:
        answers: list[list[Any]] = []
        for _, _, tail in calls:
            if self.epoch is None:
                answers.append(["wait"])
                continue
            self.number += 1
            self.appended.append((name, tail))
            answers.append(["ok", self.epoch, f"{self.number}-0", "0"])
        return answers


class Shown:
    def __init__(self) -> None:
        self.last = (0, 0)

    def __call__(self, kept: int, epoch: int) -> None:
        self.last = (kept, epoch)


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def server() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch, shown: Shown, server: FakeRedis) -> Keeper:
    """A keeper whose passes the test makes itself."""
    monkeypatch.setattr(Keeper, "_wake", lambda self: None)
    made = Keeper(Settings(kept_bytes=1024 * 1024), shown)
    monkeypatch.setattr(made, "_redis", server)
    return made


def outcome(name: str, body: str = "{}") -> Outcome:
    return Outcome(name, 1, "token", "succeeded", body)


def test_outcome_is_kept_until_the_recorder_has_passed_it(keeper: Keeper, shown: Shown, server: FakeRedis) -> None:
    keeper.keep(outcome("a"), 1, "10-0")
    keeper.keep(outcome("b"), 1, "20-0")
    keeper.run_once()
    assert shown.last == (2, 1)
    server.recorded = "1/10-0"
    keeper.run_once()
    assert shown.last == (1, 1)
    server.recorded = "1/20-5"
    keeper.run_once()
    assert shown.last == (0, 0)
    assert server.appended == []


def test_outcomes_are_appended_again_under_a_new_epoch(keeper: Keeper, shown: Shown, server: FakeRedis) -> None:
    keeper.keep(outcome("a"), 1, "10-0")
    keeper.keep(outcome("b"), 1, "20-0")
    server.epoch, server.recorded = "2", "2/0-0"
    keeper.run_once()
    assert [tail[0] for _, tail in server.appended] == ["a", "b"]
    assert shown.last == (2, 2)
    keeper.run_once()
    assert len(server.appended) == 2
    server.recorded = "2/999-0"
    keeper.run_once()
    assert shown.last == (0, 0)


def test_old_outcome_holds_the_shown_epoch_back(keeper: Keeper, shown: Shown) -> None:
    keeper.keep(outcome("old"), 1, "10-0")
    keeper.keep(outcome("new"), 2, "5-0")
    assert shown.last == (2, 1)


def test_nothing_is_appended_on_a_server_without_a_valid_epoch(keeper: Keeper, shown: Shown, server: FakeRedis) -> None:
    keeper.keep(outcome("a"), 1, "10-0")
    server.epoch, server.server = "2", "another run"
    keeper.run_once()
    assert server.appended == []
    assert shown.last == (1, 1)


def test_notes_wait_for_an_epoch_and_are_appended_once(keeper: Keeper, server: FakeRedis) -> None:
    keeper.note(Note("native", "a", "{}"))
    server.epoch = None
    keeper.run_once()
    assert server.appended == []
    server.epoch = "2"
    keeper.run_once()
    keeper.run_once()
    assert [name for name, _ in server.appended] == ["append"]


def test_notes_survive_a_server_that_does_not_answer(
    keeper: Keeper, server: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(name: str, calls: list[Any]) -> list[list[Any]]:
        raise RedisConnectionError("away")

    keeper.note(Note("native", "a", "{}"))
    with monkeypatch.context() as patch:
        patch.setattr(server, "scripts", away)
        with pytest.raises(RedisConnectionError):
            keeper.run_once()
    keeper.run_once()
    assert len(server.appended) == 1


def test_oldest_outcomes_are_dropped_at_the_bound_with_a_log_line(
    keeper: Keeper, shown: Shown, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(12):
        keeper.keep(outcome(str(number), "x" * 100_000), 1, f"{number}-0")
    assert shown.last[0] == 10
    assert "dropped" in caplog.text


def test_stream_ids_compare_by_number() -> None:
    assert position("9-1") < position("10-0") < position("10-2") < position("10-10")


def test_lines_that_redis_refuses_make_no_outcome_wait(
    keeper: Keeper, shown: Shown, server: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = server.scripts

    def refuse(name: str, calls: list[Any]) -> list[list[Any]]:
        if name == "append_lines":
            raise ResponseError("WRONGTYPE")
        return take(name, calls)

    monkeypatch.setattr(server, "scripts", refuse)
    lines = keeper.lines.begin("a", 1, "r")
    keeper.lines.write(lines, "[]")
    keeper.lines.end(lines)
    keeper.keep(outcome("a"), 1, "10-0")
    keeper.note(Note("native", "b", "{}"))
    server.recorded = "1/10-0"
    with pytest.raises(ResponseError):
        keeper.run_once()
    assert shown.last == (0, 0)
    assert [name for name, _ in server.appended] == ["append"]
    monkeypatch.setattr(server, "scripts", take)
    keeper.run_once()
    assert [name for name, _ in server.appended] == ["append", "append_lines"]
    assert not keeper.lines.is_pending
