"""A real build of the Dockerfile with buildah, which needs no daemon; every file of it below one directory."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.integration.deploy.image import pip_package, reachable_python, write_program
from tests.stand.environment import ROOT
from tests.unit.deploy.dockerfile import stages

_STAND_IN = "localhost/pointsman-stand-in:3"
_TAG = "localhost/pointsman:test"
_TOOLS = "/opt/stand-in"


class CannotBuild(Exception):
    """Buildah does not work for this user on this machine."""


class Buildah:
    """One build in a storage of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._storage = ["--root", str(directory / "storage"), "--runroot", str(directory / "run")]
        self._mounts: list[str] = []
        self.base = stages()[-1].base

    def __call__(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run ``buildah`` with these words."""
        return subprocess.run(
            ["buildah", *self._storage, *words],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds,
        )  # fmt: skip

    def build(self) -> str:
        """Build the image and return its name. Raises CannotBuild."""
        if self("info").returncode:
            raise CannotBuild(self("info").stderr[-500:])
        if self("pull", "--quiet", self.base, seconds=300).returncode:
            self._make_stand_in()
        built = self(
            *("build", "--isolation", "chroot", "--format", "docker", "--pull-never", *self._mounts),
            *("--build-arg", f"PYTHON_IMAGE={self.base}", "--tag", _TAG, "."),
            seconds=600,
        )
        if built.returncode and "no subuid ranges found" in built.stderr:
            raise CannotBuild("an ordinary user needs ranges in /etc/subuid and /etc/subgid")
        assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
        return _TAG

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of the image, as its user, with its variables."""
        container = self("from", "--pull-never", _TAG).stdout.strip()
        try:
            return self("run", "--isolation", "chroot", *self._mounts, container, "--", *words)
        finally:
            self("rm", container)

    def _make_stand_in(self) -> None:
        """No registry can be reached: this machine's own Python and programs, mounted over a skeleton of a base."""
        python = reachable_python(None if os.geteuid() else int(stages()[-1].only("USER").text.partition(":")[0]))
        skeleton = self._directory / "skeleton"
        for name in ("etc", "tmp", "usr", _TOOLS.strip("/")):
            (skeleton / name).mkdir(parents=True)
        (skeleton / "tmp").chmod(0o1777)
        for name in ("bin", "sbin", "lib", "lib64"):
            (skeleton / name).symlink_to(f"usr/{name}")
        (skeleton / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n", encoding="utf-8")
        (skeleton / "etc" / "group").write_text("root:x:0:\n", encoding="utf-8")
        tools = skeleton / _TOOLS.strip("/")
        write_program(tools / "python", f'exec "{python}" "$@"')
        write_program(tools / "pip", f'exec "{python}" {_TOOLS}/lib/pip/__pip-runner__.py "$@"')
        (tools / "lib" / "pip").mkdir(parents=True)
        prefix = subprocess.run(
            [python, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True, check=True
        )
        self._mount("/usr", "/usr")
        if not prefix.stdout.startswith("/usr"):
            self._mount(prefix.stdout.strip(), prefix.stdout.strip())
        self._mount("/etc/ssl", "/etc/ssl")
        self._mount("/etc/pip.conf", "/etc/pip.conf")
        self._mount(str(pip_package()), f"{_TOOLS}/lib/pip")
        container = self("from", "scratch").stdout.strip()
        self("copy", "--quiet", container, str(skeleton), "/")
        self("config", "--env", f"PATH={_TOOLS}:/usr/bin:/bin:/usr/sbin:/sbin", container)
        made = self("commit", "--quiet", "--rm", container, _STAND_IN)
        if made.returncode:
            raise CannotBuild(made.stderr[-500:])
        self.base = _STAND_IN

    def _mount(self, source: str, target: str) -> None:
        if Path(source).exists():
            self._mounts += ["--volume", f"{source}:{target}:ro"]

    def close(self) -> None:
        """Leave nothing behind."""
        self("rm", "--all")
        self("rmi", "--all", "--force")
        shutil.rmtree(self._directory, ignore_errors=True)
