"""The command: what it prints, and how it exits."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence

import typer

from pointsman_contract.configuration import BadConfiguration, misspelt
from pointsman_contract.settings_view import read_settings
from pointsman_service.console.doctor.examination import examine
from pointsman_service.console.doctor.finding import Finding, Level, exit_status
from pointsman_service.console.doctor.settings_checks import bad_settings
from pointsman_service.settings import Settings
from pointsman_service.telemetry import configure_logging

_COLOURS = {Level.OK: "green", Level.UNKNOWN: None, Level.WARNING: "yellow", Level.FAULT: "red"}
_STATUS = {0: Level.OK, 1: Level.WARNING, 2: Level.FAULT}


def look(*, as_json: bool) -> int:
    """Examine everything and print what was found; the exit status."""
    began = time.monotonic()
    findings = _findings()
    status = exit_status(findings)
    if as_json:
        document = {
            "status": _STATUS[status],
            "took_seconds": round(time.monotonic() - began, 3),
            "findings": [
                {"check": one.check, "level": one.level, "says": one.says, "what_to_do": one.what_to_do or None}
                for one in findings
            ],
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return status
    for line in _lines(findings):
        typer.echo(line)
    return status


def _findings() -> list[Finding]:
    try:
        settings = read_settings(Settings)
        names = misspelt()
    except BadConfiguration as error:
        return bad_settings(error.lines)
    # What a server says when it cannot be used is a finding; a second line of it would only be in the way.
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}))
    return asyncio.run(examine(settings, names))


def _lines(findings: Sequence[Finding]) -> list[str]:
    widest = max(len(one.check) for one in findings)
    lines = []
    for one in findings:
        level = typer.style(f"{one.level:<8}", fg=_COLOURS[one.level], bold=one.level is Level.FAULT)
        advice = f". {one.what_to_do}" if one.what_to_do else ""
        lines.append(f"{level} {one.check:<{widest}}  {one.says}{advice}")
    return [*lines, "", _sum(findings)]


def _sum(findings: Sequence[Finding]) -> str:
    found = Counter(one.level for one in findings)
    told = [(found[Level.FAULT], "fault"), (found[Level.WARNING], "warning"), (found[Level.UNKNOWN], "not known")]
    parts = [_counted(number, word) for number, word in told if number]
    return f"{len(findings)} looked at: {', '.join(parts) or 'all is well'}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 or word == "not known" else f"{number} {word}s"
