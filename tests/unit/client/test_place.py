import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pointsman_client.errors import NoSuchPlace
from pointsman_client.place import LOCAL, Place, find_place
from pointsman_contract.run_file import RunFile


def run_file(directory: Path, pid: int) -> None:
    RunFile(
        supervisor_pid=pid,
        database_url="postgresql://u:secret@h/d",
        redis_url="redis://h",
        api_url="http://127.0.0.1:8123",
    ).write(directory)


def test_what_was_asked_for_comes_before_the_environment_and_that_before_what_runs_here(tmp_path: Path) -> None:
    run_file(tmp_path, os.getpid())
    here = {"POINTSMAN_DATA_DIR": str(tmp_path)}
    named = {**here, "POINTSMAN_URL": "https://pm.example/"}
    assert find_place("http://other:1/", named).url == "http://other:1"
    assert find_place(None, named).url == "https://pm.example"
    assert find_place(None, here).url == "http://127.0.0.1:8123"
    assert find_place(None, {"POINTSMAN_DATA_DIR": str(tmp_path / "none")}).url == LOCAL


def test_the_file_of_a_supervisor_that_is_gone_names_nothing(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    run_file(tmp_path, ended.pid)
    assert find_place(None, {"POINTSMAN_DATA_DIR": str(tmp_path)}).url == LOCAL


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"api_url": 1, "supervisor_pid": 1}', "\xff"])
def test_a_file_that_is_none_of_ours_names_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, encoding="latin-1")
    assert find_place(None, {"POINTSMAN_DATA_DIR": str(tmp_path)}).url == LOCAL


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://h", "http://", "http://u:secret@h", "http://h:port", "http://h?key=secret", "http://h/#secret",
     "http://h/\r\nsecret: 1", "http://h/se cret"],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(NoSuchPlace) as refused:
        find_place(url, {})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("key", ["pm_secret\n", "pm secret", "pm_sécret"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(NoSuchPlace) as refused:
        find_place("http://h", {"POINTSMAN_API_KEY": key})
    assert "cret" not in str(refused.value)


def test_a_key_is_in_no_repr() -> None:
    place = find_place("http://h", {"POINTSMAN_API_KEY": "pm_secret"})
    assert place.key == "pm_secret"
    assert "secret" not in repr(place)
    assert "secret" not in json.dumps(str(Place("http://h", "pm_secret")))
