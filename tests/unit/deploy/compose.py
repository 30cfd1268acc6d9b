"""docker-compose.yml and .env.example as data."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.stand.environment import ROOT

COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"

Service = dict[str, Any]
_INNERMOST = re.compile(r"\$\{(\w+)(?:(:?)([-?])([^${}]*))?\}")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file with its anchors merged."""
    found: dict[str, Any] = YAML(typ="safe").load(path)
    return found


@cache
def services() -> dict[str, Service]:
    """Every service of docker-compose.yml, by name."""
    found: dict[str, Service] = read_yaml(COMPOSE)["services"]
    return found


@cache
def secrets() -> dict[str, dict[str, str]]:
    """The files that containers may be given."""
    found: dict[str, dict[str, str]] = read_yaml(COMPOSE)["secrets"]
    return found


def ours() -> dict[str, Service]:
    """The services that run our image."""
    return {name: service for name, service in services().items() if service["image"].startswith("pointsman:")}


def workers() -> dict[str, Service]:
    """The services that are Celery nodes."""
    return {name: service for name, service in ours().items() if service["command"][0] == "celery"}


def resolve(text: str, variables: Mapping[str, str]) -> str:
    """What Compose makes of ``${NAME}``, ``${NAME:-default}``, ``${NAME-default}`` and ``${NAME:?message}``, one within
    another.
    """

    def value(found: re.Match[str]) -> str:
        name, colon, operator, rest = found.groups()
        if variables.get(name) or (name in variables and not colon):
            return variables[name]
        assert operator == "-", f"{name} is not set: {rest}"
        return str(rest)

    while _INNERMOST.search(text):
        text = _INNERMOST.sub(value, text)
    return text


def environment(service: Service, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables a container gets; a name without a value is passed on when it is set."""
    given: dict[str, str | None] = service.get("environment", {})
    return {
        name: variables[name] if value is None else resolve(value, variables)
        for name, value in given.items()
        if value is not None or name in variables
    }


def variables_used() -> set[str]:
    """Every name that comes from .env or the shell."""
    interpolated = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text(encoding="utf-8")))
    passed_on = {
        name
        for service in services().values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }
    return interpolated | passed_on


def example_variables() -> dict[str, str]:
    """Every variable of .env.example with its value, those that are commented out included."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    found = (re.fullmatch(r"#?([A-Z][A-Z_]*)=(.*)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def seconds(duration: str) -> int:
    """A duration such as ``5m30s``."""
    match = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration)
    assert match, duration
    assert match[0], duration
    return 60 * int(match[1] or 0) + int(match[2] or 0)


def megabytes(size: str) -> int:
    """A size such as ``512m`` or ``2g``."""
    match = re.fullmatch(r"(\d+)([mg])", size)
    assert match, size
    return int(match[1]) * (1024 if match[2] == "g" else 1)
