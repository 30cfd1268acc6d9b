import subprocess
from pathlib import Path

import pytest
import redis

from pointsman_service.embedded.binaries import valkey_server
from pointsman_service.embedded.ports import free_port
from tests.stand.waiting import until_now
from tests.unit.deploy.compose import services

_SECRET = "s3\"cr\\et #'$x"
_SHOWS = """#!/bin/sh
printf '%s\\n%s\\n%s' "$VALKEYCLI_AUTH" "$REDISCLI_AUTH" "$*"
"""
"""What stands for valkey-cli, which no wheel has."""


def test_valkey_of_compose_lets_nobody_in_without_the_password_that_no_command_line_shows(tmp_path: Path) -> None:
    (tmp_path / "valkey-server").symlink_to(valkey_server())
    service = services()["valkey"]
    port = free_port()
    (tmp_path / "redis_password").write_text(f"{_SECRET}\n")

    def here(words: list[str]) -> list[str]:
        return [word.replace("$$", "$").replace("/run/secrets", str(tmp_path)) for word in words]

    words = [*here(service["command"]), "--port", str(port), "--bind", "127.0.0.1"]
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    process = subprocess.Popen(words, env=variables, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, password=_SECRET) as owner, redis.Redis(port=port) as stranger:

            def answers() -> bool:
                try:
                    return bool(owner.ping())
                except redis.ConnectionError:
                    return False

            until_now(answers, lambda: "Valkey to answer")
            with pytest.raises(redis.AuthenticationError):
                stranger.ping()
            assert owner.info("server")["process_id"] == process.pid, "it is the process that a stop reaches"
        shown = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
        assert str(port) in shown
        assert _SECRET not in shown + " ".join(words)
    finally:
        process.terminate()
        assert process.wait(120) == 0


def test_health_check_hands_the_password_over_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "redis_password").write_text(f"{_SECRET}\n")
    (tmp_path / "valkey-cli").write_text(_SHOWS)
    (tmp_path / "valkey-cli").chmod(0o755)
    _, *words = [word.replace("$$", "$") for word in services()["valkey"]["healthcheck"]["test"]]
    words = [word.replace("/run/secrets", str(tmp_path)) for word in words]
    said = subprocess.run(
        words, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    ).stdout
    assert said.split("\n") == [_SECRET, _SECRET, "-e ping"]


def test_valkey_of_compose_does_not_start_without_a_password(tmp_path: Path) -> None:
    (tmp_path / "valkey-server").symlink_to(valkey_server())
    for text in (None, "\n"):
        if text is not None:
            (tmp_path / "redis_password").write_text(text)
        words = [
            word.replace("$$", "$").replace("/run/secrets", str(tmp_path)) for word in services()["valkey"]["command"]
        ]
        ran = subprocess.run(
            [*words, "--port", str(free_port())],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert ran.returncode == 1
        assert "redis_password" in ran.stderr
