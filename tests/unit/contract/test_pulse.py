import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pointsman_contract.pulse import STALE_SECONDS, VARIABLE, PulseFile, ailment
from tests.stand.environment import ROOT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pulse"


@pytest.fixture
def answers() -> Iterator[tuple[str, dict[str, int]]]:
    """The URL of a server, and the status it answers."""
    status = {"/livez": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[self.path])
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/livez", status
        server.shutdown()
        thread.join()


def test_process_that_has_just_beaten_is_well(file: Path) -> None:
    PulseFile(file).beat()
    assert ailment(file) is None


def test_process_that_has_never_beaten_is_ill(file: Path) -> None:
    assert "no pulse yet" in (ailment(file) or "")


@pytest.mark.parametrize("age", [STALE_SECONDS + 1, -5])
def test_old_beat_and_one_from_before_the_last_boot_are_ill(file: Path, age: float) -> None:
    file.write_text(json.dumps({"at": time.monotonic() - age, "url": None}))
    assert "s old" in (ailment(file) or "")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"at": null}', '{"at": "soon"}'])
def test_file_that_is_no_pulse_is_ill(file: Path, text: str) -> None:
    file.write_text(text)
    assert "cannot be read" in (ailment(file) or "")


def test_api_that_answers_is_well_and_one_that_does_not_is_ill(file: Path, answers: tuple[str, dict[str, int]]) -> None:
    url, status = answers
    PulseFile(file, url).beat()
    assert ailment(file) is None
    status["/livez"] = 503
    assert "answers 503" in (ailment(file) or "")
    PulseFile(file, "http://127.0.0.1:1/livez").beat()
    assert "does not answer" in (ailment(file) or "")


def test_command_exits_0_when_well_1_when_ill_and_2_without_a_file(file: Path) -> None:
    def judge(*words: str, **environment: str) -> tuple[int, str]:
        found = subprocess.run(
            [sys.executable, "-m", "pointsman_contract.pulse", *words],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return found.returncode, found.stdout + found.stderr

    assert judge(**{VARIABLE: ""})[0] == 2
    assert judge(**{VARIABLE: str(file)}) == (1, f"no pulse yet: there is no {file}\n")
    PulseFile(file).beat()
    assert judge(**{VARIABLE: str(file)}) == (0, "well\n")
    assert judge("0.0", **{VARIABLE: str(file)})[0] == 1


def test_judging_loads_nothing_beyond_the_standard_library(file: Path) -> None:
    PulseFile(file, "http://127.0.0.1:1/livez").beat()
    judging = "from pathlib import Path; from pointsman_contract.pulse import ailment; ailment(Path(sys.argv[1]))"
    # What an editable installation's start-up files load is there without it, too.
    assert _loaded_packages(judging, file) == _loaded_packages("pass", file)


def _loaded_packages(code: str, file: Path) -> str:
    listing = (
        "[name for name, found in sys.modules.items() if 'site-packages' in (getattr(found, '__file__', '') or '')]"
    )
    words = [sys.executable, "-c", f"import sys; {code}; print({listing})", str(file)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
