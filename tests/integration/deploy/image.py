"""The image's steps without an engine: the Dockerfile's own instructions, carried out below a directory.

Absolute paths of the image are moved below that directory; nothing else is different, except that the account which the
last stage makes is only a number here.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tests.stand.environment import ROOT, inherited
from tests.unit.deploy.dockerfile import Instruction, Stage, reaches_the_builder, stages

_PATHS = re.compile(r"(?<![\w/.-])/(opt/venv|app|build)(?![\w-])")
_VOLUME = "/var/lib/pointsman"
_AWAY = re.compile(r"NewConnectionError|Name or service|resolution|Network is unreachable|Max retries", re.IGNORECASE)


class IndexAway(Exception):
    """The package index cannot be reached."""


class NoPython(Exception):
    """No interpreter of this version can be run by an ordinary user."""


@dataclass(frozen=True)
class Image:
    """What the last stage holds, below ``root``."""

    root: Path
    user: int | None
    """The number the image runs as; None when this process is no root and can only be itself."""
    writable: Path
    """Holds what stands for /tmp and for the volume: the only places that can be written."""

    @property
    def scratch(self) -> Path:
        """The container's /tmp."""
        return self.writable / "tmp"

    @property
    def volume(self) -> Path:
        """The container's /var/lib/pointsman."""
        return self.writable / "files"

    @property
    def app(self) -> Path:
        """The image's /app."""
        return self.root / "app"

    @property
    def venv(self) -> Path:
        """The image's /opt/venv."""
        return self.root / "opt" / "venv"

    def environment(self) -> dict[str, str]:
        """What the image sets, and no variable of this process."""
        found = {name: self._here(value) for name, value in stages()[-1].environment().items()}
        path = found["PATH"].replace("$PATH", "/usr/bin:/bin")
        return found | {"PATH": path, "HOME": "/nonexistent", "TMPDIR": str(self.scratch)}

    def _here(self, text: str) -> str:
        if text.startswith("/tmp/"):
            return str(self.scratch / text.removeprefix("/tmp/"))
        return str(self.volume) if text == _VOLUME else moved(text, self.root)

    def command(self, words: list[str]) -> list[str]:
        """The command line that runs ``words`` as the image's user with nothing to write to but ``writable``.

        Root gets a mount namespace whose root is read-only; the process keeps its id, so signals reach it.
        """
        tied = ["setpriv", "--pdeathsig", "SIGKILL", "--no-new-privs"] if shutil.which("setpriv") else []
        if self.user is None:
            return [*tied, *words]
        as_user = [f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--bounding-set=-all"]
        return [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-ec",
            _READ_ONLY,
            str(self.writable),
            *tied,
            *as_user,
            *words,
        ]

    def start(self, words: list[str], variables: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start one container's process; its output goes to ``log``."""
        with log.open("wb") as output:
            return subprocess.Popen(
                self.command(words),
                cwd=self.app,
                env=self.environment() | dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one container's process to its end."""
        return subprocess.run(
            self.command(list(words)),
            cwd=self.app,
            env=self.environment() | variables,
            capture_output=True,
            text=True,
            check=False,
        )


_READ_ONLY = 'mount --bind "$0" "$0"; mount -o remount,bind,ro /; exec "$@"'


def moved(text: str, root: Path) -> str:
    """``text`` with the image's absolute paths below ``root``."""
    return _PATHS.sub(lambda found: f"{root}/{found[1]}", text)


def build(directory: Path, **arguments: str) -> Image:
    """Carry out both stages below ``directory``, which everybody can reach. Raises IndexAway or NoPython.

    ``arguments`` are build arguments.
    """
    user = int(stages()[-1].only("USER").text.partition(":")[0]) if os.geteuid() == 0 else None
    root = directory / "image"
    first, final = stages(**arguments)
    _carry_out(first, root, _tools(directory / "bin", user))
    # The last stage begins empty: what it does not take from the first is not there.
    before = root.rename(directory / "first-stage")
    for copy in final.all("COPY"):
        source, target = copy.text.split()
        destination = root / target.lstrip("/")
        destination.parent.mkdir(parents=True, exist_ok=True)
        (before / source.lstrip("/")).rename(destination)
    image = Image(root, user, directory / "writable")
    for place in (image.scratch, image.volume):
        place.mkdir(parents=True)
        place.chmod(0o777)
    _chmod(root, 0, ~0o222)
    return image


def remove(directory: Path) -> None:
    """Remove what ``build`` made, or began to make."""
    _chmod(directory, 0o200, ~0)
    shutil.rmtree(directory)


def _chmod(directory: Path, added: int, kept: int) -> None:
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink() and path.stat().st_uid == os.geteuid():
            path.chmod((path.stat().st_mode | added) & kept)


def _carry_out(stage: Stage, root: Path, tools: Path) -> None:
    taken = inherited(("PYTHON",))
    environment = {"PIP_RETRIES": "1", **taken, **stage.environment(), "PATH": f"{tools}:{os.environ['PATH']}"}
    # Its own cache is this machine's: an image has none to keep.
    environment.pop("PIP_NO_CACHE_DIR", None)
    for instruction in stage.instructions:
        match instruction.word:
            case "COPY":
                _copy(instruction, root)
            case "RUN":
                done = subprocess.run(
                    ["sh", "-ec", moved(instruction.text, root)],
                    env=environment, capture_output=True, text=True, check=False,
                )  # fmt: skip
                if done.returncode and _AWAY.search(done.stdout + done.stderr):
                    raise IndexAway(done.stderr[-2000:])
                assert done.returncode == 0, f"{instruction.text}\n{done.stdout}\n{done.stderr}"
            case "ARG":
                environment |= instruction.variables()
            case word:
                assert word == "ENV", f"nobody here knows how to carry out {word}"


def _copy(instruction: Instruction, root: Path) -> None:
    source, target = instruction.text.split()
    destination = root / target.strip("/")
    found = ROOT / source
    if found.is_file():
        destination.mkdir(parents=True, exist_ok=True)
        shutil.copy2(found, destination / found.name)
        return
    for path in sorted(found.rglob("*")):
        inside = PurePosixPath(path.relative_to(ROOT).as_posix())
        if path.is_file() and reaches_the_builder(inside):
            (destination / path.relative_to(found)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, destination / path.relative_to(found))


def _tools(directory: Path, user: int | None) -> Path:
    """A directory with the ``python`` and ``pip`` of the base image."""
    directory.mkdir()
    write_program(directory / "python", f'exec "{reachable_python(user)}" "$@"')
    # Without what else lies beside pip, which would pass for installed.
    write_program(directory / "pip", f'exec "{sys.executable}" "{pip_package()}/__pip-runner__.py" "$@"')
    return directory


def pip_package() -> Path:
    """Where this environment's pip lies."""
    found = importlib.util.find_spec("pip")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def write_program(path: Path, line: str) -> None:
    """A shell script of one line. Not a link: Python looks for its library beside the link."""
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)


def reachable_python(user: int | None) -> str:
    """An interpreter of this version that ``user`` can run, wherever this one lies. Raises NoPython."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = getattr(sys, "_base_executable", sys.executable)
    for python in (base, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            tried = subprocess.run(
                [python, "-c", "import ssl, venv"],
                cwd="/", user=user, group=user, extra_groups=None if user is None else [],
                capture_output=True, check=False,
            )  # fmt: skip
        except OSError:
            continue
        if tried.returncode == 0:
            return str(python)
    raise NoPython(version)
