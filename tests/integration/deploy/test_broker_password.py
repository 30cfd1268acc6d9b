import subprocess
from pathlib import Path

import pytest
import redis

from pointsman_service.embedded.binaries import valkey_server
from pointsman_service.embedded.ports import free_port
from tests.stand.waiting import until_now
from tests.unit.deploy.compose import environment, services

_SECRET = "s3cret"


def test_valkey_of_compose_lets_nobody_in_without_the_password_that_no_command_line_shows(tmp_path: Path) -> None:
    (tmp_path / "valkey-server").symlink_to(valkey_server())
    service = services()["valkey"]
    port = free_port()
    words = [*(word.replace("$$", "$") for word in service["command"]), "--port", str(port), "--bind", "127.0.0.1"]
    variables = environment(service, {"REDIS_PASSWORD": _SECRET}) | {"PATH": f"{tmp_path}:/usr/bin:/bin"}
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
