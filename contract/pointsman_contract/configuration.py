"""The file that service and workers are configured with: TOML, JSON or a Python module, named by ``POINTSMAN_CONFIG``.

Both read the same file, each the settings it has. Names are our settings in lower case, or what people already have:
``CELERY_TASK_ROUTES``, ``CIRCUIT_BREAKER``, ``RETRY_POLICY``. Environment variables win over the file.
"""

import importlib
import importlib.util
import json
import os
import re
import sys
import sysconfig
import tomllib
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from pointsman_contract.setting_names import NAMES, SECRETS

VARIABLE = "POINTSMAN_CONFIG"
PREFIX = "POINTSMAN_"
FILE_SUFFIX = "_FILE"
"""Of a variable that names the file in which a secret stands."""
ALIASES = {
    "CELERY_TASK_ROUTES": "task_routes",
    "CIRCUIT_BREAKER": "circuit_breaker",
    "RETRY_POLICY": "retry_policy",
    "CELERY_RETRY_POLICY": "retry_policy",
}
"""Names that people already have, to our settings."""

DEMO_URL = "POINTSMAN_DEMO_URL"
"""The variable that tells tasks of ``./scripts/up --demo`` where the other side of their calls is."""

OTHER_VARIABLES = (
    VARIABLE,
    DEMO_URL,
    "POINTSMAN_API_KEY",
    "POINTSMAN_CI",
    "POINTSMAN_FAILPOINTS",
    "POINTSMAN_LOGS_DIR",
    "POINTSMAN_OUTBOX_DATABASE_URL",
    "POINTSMAN_START_SECONDS",
    "POINTSMAN_STOP_SECONDS",
    "POINTSMAN_TESTING",
    "POINTSMAN_URL",
)
"""Variables with our prefix that are no settings: they are read by scripts, the client and the demo."""

_SERVICE_HOST = "_SERVICE_HOST"
_LINK = re.compile(r"_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")
"""What follows a service's name in the variables that Kubernetes sets for it in every container."""

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_LONGEST_MESSAGE = 300
_NEARLY = 0.88
"""How like a setting's name one of a module is that is told: one or two letters are wrong."""


class BadConfiguration(Exception):
    """The configuration cannot be used. ``lines`` say why, one a fault, each naming its file or variable and key."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting of a file."""

    key: str
    """As the file spells it."""
    value: Any


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """What one file says."""

    source: str
    """As ``POINTSMAN_CONFIG`` names it."""
    entries: Mapping[str, Entry]
    """By the name of the setting."""
    nearly: Collection[tuple[str, str]] = ()
    """Names of a module that are no setting's, each with the one that it is nearly."""


def read_file() -> ConfigurationFile | None:
    """The file that ``POINTSMAN_CONFIG`` names; None when it is unset. Raises ``BadConfiguration``."""
    named = os.environ.get(VARIABLE)
    return load(named) if named else None


def values_of_file(names: Collection[str], taken: Collection[str]) -> dict[str, Any]:
    """What the file says of those of these settings that no stronger source has taken. Raises ``BadConfiguration``.

    A setting comes whole from one source: of merged dictionaries nobody could tell where a route came from.
    """
    file = read_file()
    if file is None:
        return {}
    return {name: entry.value for name, entry in file.entries.items() if name in names and name not in taken}


def load(named: str) -> ConfigurationFile:
    """Read a ``.toml``, ``.json`` or ``.py`` file or an importable module. Raises ``BadConfiguration``.

    Of a module only names that are ours are read; in the other files an unknown name is a fault.
    """
    suffix = Path(named).suffix
    if suffix in _PARSERS:
        return _of_data(named, _parsed(named, _PARSERS[suffix]))
    if suffix == ".py":
        return _of_module(named, _module_at(named))
    if _MODULE.fullmatch(named) and not Path(named).is_file():
        return _of_module(named, _imported(named))
    raise BadConfiguration(f"{VARIABLE}: {named} is neither a .toml, .json or .py file nor the name of a module")


def json_text(value: Any) -> Any:
    """JSON in a variable of the environment, decoded; anything that is not text stays. Raises ``ValueError``."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None


def misspelt() -> list[str]:
    """A line for each name that was probably meant as a setting and is none: in the environment, and in the file.
    Raises ``BadConfiguration`` for a file that cannot be used.
    """
    return [*unknown_variables(), *_unknown_of_module()]


def unknown_variables() -> list[str]:
    """A line for each variable of the environment that has our prefix and names nothing of ours. What Kubernetes sets
    for a service that is called as we are is not meant for us.
    """
    files = (PREFIX + name.upper() + FILE_SUFFIX for name in SECRETS)
    known = [*(PREFIX + name.upper() for name in NAMES), *files, *OTHER_VARIABLES]
    services = tuple(
        name.removesuffix(_SERVICE_HOST) for name in os.environ if name.startswith(PREFIX[:-1]) and _is_link(name)
    )
    given = sorted(
        name
        for name in os.environ
        if name.upper().startswith(PREFIX)
        and name.upper() not in known
        and not any(name.startswith(service) and _LINK.fullmatch(name[len(service) :]) for service in services)
    )
    return [f"{name}: there is no such setting{closest(name.upper(), known)}" for name in given]


def _is_link(name: str) -> bool:
    service = name.removesuffix(_SERVICE_HOST)
    return service != name and f"{service}_SERVICE_PORT" in os.environ


def _unknown_of_module() -> list[str]:
    """A module may define whatever it likes: only what is nearly a setting's name is told."""
    file = read_file()
    if file is None:
        return []
    return [f"{file.source}: {key}: there is no such setting; did you mean {meant}?" for key, meant in file.nearly]


def closest(name: str, names: Collection[str]) -> str:
    """``; did you mean …?``, or nothing when no name is like it."""
    found = get_close_matches(name, names, n=1, cutoff=0.7)
    if not found:
        # Somebody wrote the variable, or the constant of a Python module, into a file.
        found = get_close_matches(name.lower().removeprefix(PREFIX.lower()), names, n=1, cutoff=0.7)
    return f"; did you mean {found[0]}?" if found else ""


def _parsed(named: str, parse: Callable[[str], Any]) -> Mapping[str, Any]:
    path = Path(named).expanduser()
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfiguration(f"{named}: cannot be read: {error.strerror} ({VARIABLE})") from None
    except UnicodeDecodeError:
        raise BadConfiguration(f"{named}: is not UTF-8 text") from None
    except ValueError as error:
        raise BadConfiguration(f"{named}: is not {path.suffix[1:].upper()}: {error}") from None
    if not isinstance(found, dict):
        raise BadConfiguration(f"{named}: must be a JSON object of setting names and values")
    return found


_PARSERS: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}


def _of_data(named: str, found: Mapping[str, Any]) -> ConfigurationFile:
    known = [*NAMES, *ALIASES]
    unknown = [key for key in found if key not in known]
    if unknown:
        raise BadConfiguration(
            *(f"{named}: {key}: there is no such setting{closest(key, known)}" for key in unknown),
        )
    return ConfigurationFile(named, dict(_entries(named, found)))


def _of_module(named: str, module: ModuleType) -> ConfigurationFile:
    found = {key: value for key, value in vars(module).items() if key in NAMES or key in ALIASES}
    # A module may have imported something, or defined a function, under a name that is also a setting's. What bears a
    # name of Celery's is meant, even if it is of no use.
    values = {
        key: value
        for key, value in found.items()
        if key in ALIASES or not isinstance(value, ModuleType | FunctionType | type)
    }
    return ConfigurationFile(named, dict(_entries(named, values)), tuple(_nearly(module)))


def _nearly(module: ModuleType) -> Iterator[tuple[str, str]]:
    known = [*NAMES, *ALIASES]
    for name, value in vars(module).items():
        if name in known or name.startswith("_") or callable(value) or isinstance(value, ModuleType):
            continue
        found = get_close_matches(name, known, n=1, cutoff=_NEARLY)
        if found:
            yield name, found[0]


def _entries(named: str, found: Mapping[str, Any]) -> Iterator[tuple[str, Entry]]:
    seen: dict[str, str] = {}
    for key, value in found.items():
        name = ALIASES.get(key, key)
        if name in seen:
            raise BadConfiguration(f"{named}: {seen[name]} and {key} are the same setting: keep one of them")
        seen[name] = key
        yield name, Entry(key, value)


def _imported(named: str) -> ModuleType:
    try:
        return importlib.import_module(named)
    except ModuleNotFoundError as error:
        if error.name is not None and (named == error.name or named.startswith(f"{error.name}.")):
            raise BadConfiguration(
                f"{named}: there is no module {error.name}; it must be importable from here ({VARIABLE})"
            ) from None
        raise _raised(named, error) from None
    except (Exception, SystemExit) as error:
        raise _raised(named, error) from None


def _module_at(named: str) -> ModuleType:
    path = Path(named).expanduser().absolute()
    name = f"{VARIABLE}:{path}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError as error:
        if error.filename == str(path):
            raise BadConfiguration(f"{named}: cannot be read: {error.strerror} ({VARIABLE})") from None
        raise _raised(named, error) from None
    except (Exception, SystemExit) as error:
        raise _raised(named, error) from None
    sys.modules[name] = module
    return module


def _raised(named: str, error: BaseException) -> BadConfiguration:
    """Where in the module, what, in one line."""
    if isinstance(error, SyntaxError):
        at = f"{Path(error.filename or named).name} line {error.lineno}"
        return BadConfiguration(f"{named}: cannot be loaded: {at}: {type(error).__name__}: {error.msg}")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_of_people(frame.filename)]
    at = f"{Path(frames[-1].filename).name} line {frames[-1].lineno}: " if frames else ""
    message = (str(error).splitlines() or [""])[0][:_LONGEST_MESSAGE]
    return BadConfiguration(f"{named}: cannot be loaded: {at}{type(error).__name__}: {message}")


def _is_of_people(filename: str) -> bool:
    ours = filename == __file__ or filename.startswith("<frozen")
    return not ours and not filename.startswith(tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib")))
