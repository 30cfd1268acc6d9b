"""``python -m pointsman_service keys``, as a person types it."""

import json
import re
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pointsman_service.__main__ import cli
from pointsman_service.access.token import is_token
from pointsman_service.settings import Settings


@pytest.fixture
def keys(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("POINTSMAN_DATABASE_URL", settings.require_database_url())

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli, ["keys", *words])

    return run


def test_a_key_stands_alone_in_what_is_said_and_is_never_said_again(keys: Any) -> None:
    created = keys("create", "ops", "--preset", "admin", "--reason", "the first")
    assert created.exit_code == 0, created.output
    token = created.stdout.strip()
    assert is_token(token.encode())
    assert "This is the only time" in created.stderr
    assert token not in created.stderr
    listed = keys("list")
    assert token not in listed.output
    assert re.search(rf"{token[:7]}…{token[-4:]}  ops  active  admin  never used", listed.output)


def test_a_key_is_rotated_and_revoked_by_its_name(keys: Any) -> None:
    first = keys("create", "billing", "--preset", "submitter", "--task-type", "send_invoice", "--expires-days", "90")
    second = keys("rotate", "billing", "--overlap-hours", "1", "--json")
    made = json.loads(second.stdout)
    assert (made["name"], made["task_types"], made["key"] != first.stdout.strip()) == (
        "billing",
        ["send_invoice"],
        True,
    )
    assert keys("revoke", "billing", "--reason", "it leaked").exit_code == 0
    states = {one["id"]: one["state"] for one in json.loads(keys("list", "--json").stdout)}
    assert states.pop(made["id"]) == "revoked"
    assert list(states.values()) == ["active"]
    assert keys("revoke", "billing").exit_code == 1


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["create", "x"], 2),
        (["create", "x", "--preset", "emperor"], 2),
        (["create", "x", "--scope", "tasks:dream"], 2),
        (["create", "two words", "--preset", "viewer"], 2),
        (["create", "x", "--preset", "viewer", "--expires-days", "0"], 2),
        (["rotate", "nobody"], 1),
        (["rotate", "01a20272-c811-71a5-99c0-510fde22a57d"], 1),
    ],
)
def test_what_cannot_be_is_said_in_words(keys: Any, words: list[str], status: int) -> None:
    said = keys(*words)
    assert said.exit_code == status
    assert said.stderr.strip()
    assert "Traceback" not in said.output


def test_a_name_that_is_taken_is_said(keys: Any) -> None:
    assert keys("create", "ops", "--preset", "admin").exit_code == 0
    again = keys("create", "ops", "--preset", "viewer")
    assert (again.exit_code, "ops already" in again.stderr) == (1, True)
