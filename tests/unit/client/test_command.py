import json
import os
import re
from typing import Any

import pytest

from pointsman_client.command import main
from pointsman_client.commands import voice
from pointsman_client.commands.given import arguments_of
from tests.unit.client.scripted import RESET, answer, problem, scripted

TASK: dict[str, Any] = {
    "id": "t-1", "task_type": "echo", "state": "queued", "result": None, "error": None, "queue": "email", "priority": 7,
    "attempt": 0, "max_attempts": 4, "submitted_at": "2026-11-29T08:00:00Z", "due_at": "2026-11-29T08:00:00Z",
    "started_at": None, "finished_at": None, "queue_wait_seconds": None, "run_seconds": None, "held_reason": None,
    "worker": None, "tags": {}, "args": [], "kwargs": {"to": "ada"}, "replayed_from": None, "replayed_as": None,
}  # fmt: skip
DONE = TASK | {"state": "succeeded", "result": "sent", "queue_wait_seconds": 0.0213}
FAILED = TASK | {"state": "failed", "error": {"type": "ValueError", "message": "no\x1b[31m card", "traceback": ""}}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 10\n\n"
OVER = b"HTTP/1.1 204 No\r\n\r\n"


def said(capsys: pytest.CaptureFixture[str], *words: str, url: str) -> tuple[int, str, str]:
    status = main([words[0], "--url", url, *words[1:]])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_a_task_is_submitted_as_it_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(answer(202, TASK)) as api:
        words = [
            "submit",
            "echo",
            "1",
            "x",
            "to=ada",
            'of={"a": [1]}',
            "--queue",
            "email",
            "--tag",
            "a:b:c",
            "--key",
            "k",
        ]
        status, out, err = said(capsys, *words, url=api.url)
    assert (status, err) == (0, "")
    assert api.asked[0].body == {
        "task_type": "echo", "args": [1, "x"], "kwargs": {"to": "ada", "of": {"a": [1]}}, "queue": "email",
        "tags": {"a": "b:c"},
    }  # fmt: skip
    assert api.keys() == ["k"]
    assert "task       t-1\n" in out
    assert "attempt    0 of 4\n" in out
    assert "submitted  2026-11-29 08:00:00 UTC\n" in out
    assert "result" not in out


def test_a_word_with_an_equals_sign_that_is_no_name_is_positional() -> None:
    assert arguments_of(["a b=1", "=1", "a=", "a1=x=y"]) == (["a b=1", "=1"], {"a": "", "a1": "x=y"})


def test_what_json_cannot_say_is_text_or_refused_before_anything_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert arguments_of(["NaN", "-Infinity", "[" * 100_000])[0] == ["NaN", "-Infinity", "[" * 100_000]
    with scripted(answer(202, TASK)) as api:
        for words in (["echo", "1e999"], ["echo", "--key", "a\nb"]):
            status, out, err = said(capsys, "submit", *words, url=api.url)
            assert (status, out, err.startswith("pointsman: ")) == (64, "", True)
        with pytest.raises(SystemExit) as ended:
            main(["get", "--url", api.url, os.fsdecode(b"\xff")])
    assert (ended.value.code, api.asked) == (64, [])
    assert "no text of this system's encoding" in capsys.readouterr().err


def test_an_end_is_waited_for_and_decides_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(answer(202, TASK), answer(200, DONE)) as api:
        status, out, _ = said(capsys, "submit", "echo", "--wait", "5", url=api.url)
    assert status == 0
    assert "result     sent\n" in out
    with scripted(answer(200, FAILED)) as api:
        status, out, _ = said(capsys, "get", "t-1", "--wait", url=api.url)
    assert status == 1
    assert "ValueError: no\ufffd[31m card" in out
    with scripted(answer(200, TASK)) as api:
        status, out, err = said(capsys, "get", "t-1", "--wait", "0.5", url=api.url)
    assert (status, out) == (3, "")
    assert "echo t-1 is queued after 0.5 s of waiting; it goes on" in err


def test_json_is_what_the_api_says_a_document_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    newer = TASK | {"id": "t-2", "of the future": 1}
    pages = [{"items": [newer], "next_cursor": "c"}, {"items": [TASK, TASK], "next_cursor": None}]
    with scripted(*(answer(200, page) for page in pages)) as api:
        status, out, _ = said(capsys, "list", "--state", "failed", "--limit", "2", "--json", url=api.url)
    assert status == 0
    assert [json.loads(line) for line in out.splitlines()] == [newer, TASK]
    assert api.asked[0].line.split()[1] == "/v1/tasks?state=failed&limit=2"


def test_a_list_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(answer(200, {"items": [TASK], "next_cursor": None})) as api:
        _, out, _ = said(capsys, "list", url=api.url)
    head, row = out.splitlines()
    assert head.split() == ["ID", "TYPE", "QUEUE", "STATE", "ATTEMPT", "SUBMITTED", "(UTC)"]
    assert row.index("email") == head.index("QUEUE")


def test_a_refusal_says_why_and_by_which_request(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(problem("unknown-task", 404)) as api:
        status, out, err = said(capsys, "get", "t-1", url=api.url)
    assert (status, out, err) == (1, "", "pointsman: It is unknown-task. (request r-7)\n")


def test_a_key_to_call_with_is_not_stored_as_one_that_names_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    key = "pm_" + "A1b2" * 9 + "xY"
    with pytest.raises(SystemExit) as ended:
        said(capsys, "submit", "echo", "--key", key, url="http://127.0.0.1:9")
    told = capsys.readouterr().err
    assert (ended.value.code, "goes into POINTSMAN_API_KEY" in told, key in told) == (64, True, False)


def test_no_answer_is_another_status(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = said(capsys, "get", "t-1", "--timeout", "0.3", url="http://127.0.0.1:9")
    assert (status, err) == (2, "pointsman: http://127.0.0.1:9: connection refused\n")


def test_who_waits_for_an_answer_is_told_why_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice, "_SILENT_SECONDS", 0.05)
    with scripted(RESET, RESET, RESET, answer(200, TASK)) as api:
        status, _, err = said(capsys, "get", "t-1", "--timeout", "9", url=api.url)
    assert (status, len(err.splitlines())) == (0, 1)
    assert re.fullmatch(r"pointsman: .+; tried again, for \d s at most\n", err)


def test_some_are_cancelled_though_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    ended = answer(200, TASK | {"state": "cancelled", "told": True})
    with scripted(problem("task-finished", 409), ended) as api:
        status, out, err = said(capsys, "cancel", "t-0", "t-1", "--reason", "no", url=api.url)
    assert status == 1
    assert out == "t-1 is cancelled\n"
    assert err.startswith("pointsman: t-0: It is task-finished.")
    assert api.asked[1].body == {"reason": "no"}


def test_an_ended_task_runs_again(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(RESET, answer(202, TASK | {"id": "t-2"})) as api:
        _, out, _ = said(capsys, "retry", "t-1", url=api.url)
    assert out == "t-1 runs again as t-2\n"
    assert len(set(api.keys())) == 1


def test_changes_are_told_until_the_task_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    change = {"id": "t-1", "task_type": "echo", "state": "running", "attempt": 1, "started_at": "2026-11-29T08:00:01Z",
              "progress": {"current": 3, "total": 12}, "error_type": None}  # fmt: skip
    end = change | {"state": "failed", "error_type": "ValueError", "progress": None}
    events = b"".join(
        f"event: task\nid: {n}\ndata: {json.dumps(each)}\n\n".encode() for n, each in enumerate([change, end])
    )
    with scripted(HEAD + events, OVER) as api:
        status, out, _ = said(capsys, "tail", "t-1", url=api.url)
    assert status == 0
    assert out.splitlines() == [
        "08:00:01 UTC  t-1  running    echo  attempt 1  3 of 12",
        "08:00:01 UTC  t-1  failed     echo  attempt 1  ValueError",
    ]  # fmt: skip


def test_lines_of_a_task_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    lines = {"items": [{"attempt": 1, "number": 1, "at": "2026-11-29T08:00:01Z", "level": "INFO", "text": "begun"}]}
    stream = HEAD + f"event: lines\nid: 1\ndata: {json.dumps(lines)}\n\nevent: end\ndata: {{}}\n\n".encode()
    with scripted(stream) as api:
        _, out, _ = said(capsys, "tail", "t-1", "--lines", url=api.url)
    assert out == "08:00:01 UTC  INFO      begun\n"


QUEUE = {
    "name": "email", "priority": 7, "waiting": 12481, "running": 1, "oldest_wait_seconds": 4.25, "sla_seconds": 5.0,
    "sla_attainment": 0.987, "consumers": None, "paused": False, "held_by": [{"reason": "breaker:x", "tasks": 3}],
}  # fmt: skip
BREAKER = {
    "scope": "dependency", "name": "api.bank.example", "state": "open", "failures": 5, "opened_at": None,
    "retry_at": None, "override": None, "last_error": {"type": "TimeoutError", "message": "silent"},
}  # fmt: skip
COMMANDS = ("top", "submit", "get", "list", "cancel", "retry", "tail", "queues", "breakers")


def test_queues_are_shown_and_paused(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(answer(200, {"items": [QUEUE]})) as api:
        _, out, _ = said(capsys, "queues", url=api.url)
    row = out.splitlines()[1]
    assert row.split() == ["email", "7", "12,481", "1", "4.25", "5", "98.7", "%", "–", "3", "held", "by", "breaker:x"]
    with scripted(answer(200, {"name": "email", "paused": True})) as api:
        _, out, _ = said(capsys, "queues", "pause", "email", "--reason", "a fire", url=api.url)
    assert (out, api.asked[0].body) == ("email is paused\n", {"reason": "a fire"})


def test_breakers_are_shown_and_forced(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(answer(200, {"items": [BREAKER], "next_cursor": None})) as api:
        _, out, _ = said(capsys, "breakers", "--state", "open", url=api.url)
        assert out.splitlines()[1].endswith("TimeoutError: silent")
        status, out, err = said(capsys, "breakers", "api.bank.exmaple", url=api.url)
        assert (status, out) == (1, "")
        assert "there is no such circuit breaker" in err
        assert f"did you mean {BREAKER['name']}?" in err
    with scripted(answer(200, BREAKER)) as api:
        said(capsys, "breakers", "open", "api.bank.example", "--reason", "a fire", url=api.url)
        said(capsys, "breakers", "open", "api.bank.example", "--reason", "a fire", "--new", url=api.url)
    assert api.asked[0].line.split()[1] == "/v1/breakers/dependency/api.bank.example/force-open"
    assert [one.body for one in api.asked] == [{"reason": "a fire"}, {"reason": "a fire", "new": True}]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["queues", "pause"], "needs a name"),
        (["queues", "pause", "email"], "needs a --reason"),
        (["breakers", "close", "bank", "--reason", "a fire", "--new"], "--new goes with open"),
        (["queues", "stop", "email"], "'stop' is none of pause, resume"),
        (["list", "--state", "lost"], "invalid choice"),
        (["list", "--limit", "-1"], "no number above 0"),
        (["submit", "echo", "--tag", "a"], "is not name:value"),
        (["get"], "required"),
        (["submit"], "required: TYPE\n"),
        ([], "required"),
        (["dance"], "invalid choice"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 64
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert "POINTSMAN_URL" in capsys.readouterr().out
