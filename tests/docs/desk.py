"""Where a reader of the documentation sits: a checkout with the files of its pages in it, and what runs there."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from pointsman_contract.run_file import RunFile
from pointsman_service.embedded.binaries import postgres_home
from pointsman_service.embedded.options import parse_options
from pointsman_service.embedded.ports import HOST, free_port
from tests.docs.markdown import Block
from tests.docs.shell import CURL_SETTINGS
from tests.stand.environment import ROOT, inherited

_READY_SECONDS = 150.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.1
_LEFT_OUT = frozenset({".git", ".venv", ".pointsman", "logs"})
_UP = re.compile(
    r"^(?P<settings>(?:\w+=\S+ )*)(?:\./scripts/up|python -m pointsman_service\.embedded)(?P<options>(?: [^#\n]*)?)",
    re.M,
)
_REDIS = "redis://127.0.0.1:6379"
_JOINED = "POINTSMAN_TASK_MODULES"
_PORT = re.compile(r"(?<=127\.0\.0\.1:)800\d\b|(?<=--port )800\d\b")


class Desk:
    """A directory like a checkout, made of links to this one, with every file that the pages hold.

    Its stack is one ``./scripts/up`` with the settings of every ``./scripts/up`` that the pages leave running.
    """

    def __init__(self, directory: Path, blocks: Iterable[Block]) -> None:
        self.directory = directory
        self._up: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, str] = {}
        self._redis = _REDIS
        self._settings: dict[str, str] = {}
        self._blocks = list(blocks)
        _link_checkout(directory)
        self._write_files()
        for block in self._blocks:
            if "background" in block.markers and starts_stack(block):
                self._settle(block)
        (directory / ".curl").mkdir()
        (directory / ".curl" / ".curlrc").write_text(CURL_SETTINGS)
        # Without it a test of a page would get this project's own options.
        (directory / "pytest.ini").write_text("[pytest]\n")

    def __enter__(self) -> Self:
        with (self.directory / "up.log").open("wb") as log:
            self._up = subprocess.Popen(
                ["./scripts/up", "--pools", "compact", "--port", self.here("--port 8000").split()[1]],
                cwd=self.directory,
                env=self.environment() | self._settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._up is not None
        self._up.terminate()
        try:
            self._up.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._up.kill()
            self._up.wait()

    def environment(self) -> dict[str, str]:
        """Of somebody whose virtual environment is active, with the commands of PostgreSQL at hand."""
        taken = inherited()
        places = [self.directory / ".venv" / "bin", postgres_home() / "bin", taken["PATH"]]
        return taken | {
            "PATH": ":".join(map(str, places)),
            "CURL_HOME": str(self.directory / ".curl"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "no_proxy": HOST,
        }

    def here(self, text: str) -> str:
        """The text of a page with the ports of this desk: each of a page's own becomes a free one, for good, and
        a Redis of the reader's is the stack's Valkey, with its password.
        """

        def port(found: re.Match[str]) -> str:
            if found[0] not in self._ports:
                self._ports[found[0]] = str(free_port())
            return self._ports[found[0]]

        return _PORT.sub(port, text).replace(_REDIS, self._redis)

    def has(self, path: str) -> bool:
        """Whether the workers of the stack have imported this file of a page."""
        module = path.removesuffix(".py").replace("/", ".")
        return module in self._settings.get(_JOINED, "").split(",")

    def last_lines(self) -> str:
        """What the stack said last."""
        return "\n".join((self.directory / "up.log").read_text(errors="replace").splitlines()[-20:])

    def _write_files(self) -> None:
        written: dict[str, Block] = {}
        for block in self._blocks:
            if block.file is None or "not_run" in block.markers:
                continue
            path = self.directory / block.file
            other = written.setdefault(block.file, block)
            assert other.text == block.text, f"{block.where}: {block.file} is another file in {other.where}"
            first = self.directory / Path(block.file).parts[0]
            assert not first.is_symlink(), f"{block.where}: {first.name} is a part of Pointsman itself"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.here(block.text))

    def _settle(self, block: Block) -> None:
        found = _UP.search(block.text)
        assert found is not None
        parse_options(shlex.split(found["options"]), {})
        for word in shlex.split(found["settings"]):
            name, _, value = word.partition("=")
            if name == _JOINED:
                value = ",".join(filter(None, [self._settings.get(name), value]))
            assert self._settings.get(name, value) == value or name == _JOINED, f"{block.where}: another {name}"
            self._settings[name] = value

    def _wait_until_ready(self) -> None:
        assert self._up is not None
        deadline = time.monotonic() + _READY_SECONDS
        while "Pointsman is ready." not in (self.directory / "up.log").read_text(errors="replace"):
            assert self._up.poll() is None, f"the stack ended:\n{self.last_lines()}"
            assert time.monotonic() < deadline, f"the stack is not ready:\n{self.last_lines()}"
            time.sleep(_POLL_SECONDS)
        running = RunFile.read(self.directory / ".pointsman")
        assert running is not None
        self._redis = running.redis_url.rpartition("/")[0]
        self._write_files()
        httpx.get(f"{running.api_url}/readyz", trust_env=False).raise_for_status()


def starts_stack(block: Block) -> bool:
    """Whether the block leaves a whole stack running."""
    return _UP.search(block.text) is not None


def _link_checkout(directory: Path) -> None:
    for entry in ROOT.iterdir():
        if entry.name not in _LEFT_OUT and not entry.name.endswith("cache"):
            (directory / entry.name).symlink_to(entry)
    venv = directory / ".venv"
    venv.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.name != ".installed":
            (venv / entry.name).symlink_to(entry)
    # What scripts/setup writes, so that it finds nothing to do.
    words = "cat requirements.lock pyproject.toml */pyproject.toml | cksum"
    sum_ = subprocess.run(words, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    (venv / ".installed").write_text(f"{sum_} {directory}\n")
