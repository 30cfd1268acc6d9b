"""HTTP load: one request repeated over many connections, as fast as it is answered or at a fixed rate."""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_WRK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
{key}
local file = assert(io.open("{body}", "rb"))
wrk.body = file:read("*a")
file:close()
function done(summary, latency, requests)
  io.write(string.format('\\n{{"answered":%d,"refused":%d,"failed":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f}}\\n',
    summary.requests, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""
_LONGEST_ANSWER_SECONDS = 30
_QUIET_SECONDS = 0.5
_BUSY = 0.8
"""Share of a core from which on a generator may be the limit itself."""


@dataclass(frozen=True)
class Load:
    """What came of one run."""

    accepted: int
    """Answers of 2xx."""
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_share: float
    """Of one core, taken by the generator. Near 1 it would be the limit itself."""


class Generator:
    """As fast as it is answered: ``wrk`` when it is installed, else a generator in Python."""

    def __init__(self) -> None:
        self._wrk = shutil.which("wrk")
        self.name = "wrk" if self._wrk else "a Python generator (wrk is not installed)"
        self.may_leave_unanswered = self._wrk is not None
        """wrk hangs up at its end: up to one request a connection is accepted and not counted."""

    def run(self, url: str, body: bytes, connections: int, seconds: float, token: str | None = None) -> Load:
        """Post ``body`` again and again, with a key where one is given. Raises SystemExit when an answer was not 2xx:
        then nothing was measured.
        """
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with tempfile.TemporaryDirectory(prefix="pointsman-load-") as directory:
            path = Path(directory) / "body.json"
            path.write_bytes(body)
            key = None
            if token is not None:
                # In no command line: other users see those.
                key = Path(directory) / "key"
                key.write_text(token, encoding="ascii")
            done = subprocess.run(
                self._command(url, path, connections, seconds, key),
                capture_output=True,
                text=True,
                check=True,
                timeout=seconds + 2 * _LONGEST_ANSWER_SECONDS,
            )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = json.loads(done.stdout.strip().splitlines()[-1])
        if found["refused"] or found["failed"] or not found["answered"]:
            raise SystemExit(f"{url} did not take the load: {done.stdout}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Load(
            found["answered"], found["seconds"], found["p50_ms"], found["p99_ms"], round(cpu / found["seconds"], 3)
        )

    def describe(self, busiest: float) -> str:
        """The note of a report. ``busiest``: the largest ``Load.cpu_share`` of the bench."""
        limit = "" if busiest < _BUSY else ": it may have been the limit; install wrk" if self._wrk is None else ""
        return f"load from {self.name}, which took at most {busiest:.0%} of one core{limit}"

    def _command(self, url: str, body: Path, connections: int, seconds: float, key: Path | None) -> list[str]:
        if self._wrk is None:
            module = "tests.benchmark.socket_load"
            given = [] if key is None else [str(key)]
            return [sys.executable, "-m", module, url, str(body), str(connections), str(seconds), *given]
        script = body.with_name("post.lua")
        shown = "" if key is None else f'wrk.headers["Authorization"] = "Bearer {key.read_text(encoding="ascii")}"'
        script.write_text(_WRK.format(body=body, key=shown), encoding="utf-8")
        options = ["-t", "1", "-c", str(connections), "-d", f"{round(seconds)}s"]
        return [self._wrk, *options, "--timeout", f"{_LONGEST_ANSWER_SECONDS}s", "-s", str(script), url]


def settled(count: Callable[[], int]) -> int:
    """What ``count`` says once it has not changed for half a second.

    What a generator left unanswered is still being stored, and must not be counted to the next side.
    """
    before, now = -1, count()
    while now != before:
        time.sleep(_QUIET_SECONDS)
        before, now = now, count()
    return now


@dataclass(frozen=True)
class Paced:
    """What came of load at a fixed rate, in one interval or in the whole."""

    at: float
    """Seconds since the load began, at the end of it."""
    answered: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    is_whole: bool
    """The last of them: all intervals together."""


def paced(url: str, body: bytes, rate: float, seconds: float, interval: float | None = None) -> Iterator[Paced]:
    """Post ``body`` ``rate`` times a second: every ``interval`` seconds what came in it, and at the end the whole.

    Raises SystemExit when an answer was not 2xx.
    """
    with tempfile.TemporaryDirectory(prefix="pointsman-load-") as directory:
        path = Path(directory) / "body.json"
        path.write_bytes(body)
        words = ("-m", "tests.benchmark.paced_load", url, str(path), str(rate), str(seconds), str(interval or seconds))
        with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    found = json.loads(line)
                    if found["refused"]:
                        raise SystemExit(f"{url} did not take the load: {line}")
                    is_whole = found.pop("what") == "whole"
                    del found["refused"]
                    yield Paced(**found, is_whole=is_whole)
            finally:
                process.terminate()
        if process.returncode != 0:
            raise SystemExit(f"the load on {url} ended with {process.returncode}")
