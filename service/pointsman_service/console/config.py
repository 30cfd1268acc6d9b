"""``python -m pointsman_service config``: every setting of the control plane, its value, and where that came from."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Any

import typer

from pointsman_contract.configuration import misspelt, read_file
from pointsman_contract.run_file import RunFile
from pointsman_contract.settings_view import Origin, Row, Source, masked_url, rows
from pointsman_service.settings import Settings

_WIDEST_VALUE = 48


def show_config(settings: Settings, *, as_json: bool) -> None:
    """Print every setting. Warns on standard error of names that are none of ours and look it."""
    file = read_file()
    shown = [_from_run_file(row, settings) for row in rows(settings, file)]
    for line in misspelt():
        typer.echo(line, err=True)
    if as_json:
        listed = [_as_json(row) for row in shown]
        document = {"file": None if file is None else file.source, "settings": listed}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for line in _lines(shown):
        typer.echo(line)


def _from_run_file(row: Row, settings: Settings) -> Row:
    """A server that nothing names is the one of a running ``./scripts/up``."""
    if row.name not in ("database_url", "redis_url") or row.value is not None:
        return row
    running = RunFile.read(settings.data_dir)
    if running is None:
        return row
    url: str = getattr(running, row.name)
    return replace(
        row, value=masked_url(url), origin=Origin(Source.FILE, row.name, str(settings.data_dir / "run.json"))
    )


def _as_json(row: Row) -> dict[str, Any]:
    return {"name": row.name, "value": row.value, "source": str(row.origin.source), "origin": str(row.origin)}


def _lines(shown: list[Row]) -> Iterator[str]:
    names = max(len(row.name) for row in shown)
    values = min(_WIDEST_VALUE, max(len(row.text) for row in shown if not isinstance(row.value, dict)))
    for title, members in groupby(shown, attrgetter("group")):
        yield typer.style(title, bold=True)
        for row in members:
            origin = typer.style(str(row.origin), dim=row.origin.source is Source.DEFAULT)
            if isinstance(row.value, dict):
                yield f"  {row.name:<{names}}  {'' if row.value else '-':<{values}}  {origin}"
                yield from (f"    {key:<{names}}  {_short(part)}" for key, part in row.value.items())
            else:
                yield f"  {row.name:<{names}}  {row.text:<{values}}  {origin}"
        yield ""


def _short(part: Any) -> str:
    """A part of a nested setting in one line: of things with names the names, of a route its words."""
    if isinstance(part, list) and part and all(isinstance(one, dict) and "name" in one for one in part):
        return ", ".join(one["name"] for one in part)
    if isinstance(part, dict):
        return ", ".join(f"{key} {value}" for key, value in part.items() if value is not None)
    if isinstance(part, list):
        return ", ".join(map(str, part)) or "-"
    return part if isinstance(part, str) else json.dumps(part)
