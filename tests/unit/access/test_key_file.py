"""A key in a file is whole or is not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pointsman_service.access import key_file
from pointsman_service.access.token import new_token


def test_a_key_is_drawn_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin_key"
    token = key_file.draw(path)
    assert (key_file.draw(path), key_file.read(path)) == (token, token)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert key_file.draw_another(path) != token


def test_who_dies_while_it_is_written_keeps_no_later_start_from_a_key(tmp_path: Path) -> None:
    path = tmp_path / "admin_key"
    dies = "import os, sys; from pathlib import Path; from pointsman_service.access import key_file\n"
    dies += "os.fsync = lambda _: os._exit(9)\nkey_file.draw(Path(sys.argv[1]))"
    ended = subprocess.run([sys.executable, "-c", dies, str(path)], check=False)
    assert (ended.returncode, path.exists()) == (9, False)
    assert key_file.draw(path) == key_file.read(path)


def test_who_comes_second_takes_the_key_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, link, first = tmp_path / "admin_key", os.link, new_token()

    def late(*names: Path) -> None:
        path.write_text(first)
        link(*names)

    monkeypatch.setattr(os, "link", late)
    assert key_file.draw(path) == first
    assert list(tmp_path.iterdir()) == [path]


def test_where_it_cannot_be_written_that_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be written: FileNotFoundError"):
        key_file.draw(tmp_path / "no" / "admin_key")
