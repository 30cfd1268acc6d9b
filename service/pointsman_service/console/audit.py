"""``python -m pointsman_service audit``: whether anybody changed what is kept of acts."""

import json

import typer

from pointsman_service.database import create_engine
from pointsman_service.observe import audit
from pointsman_service.observe.audit import Verdict
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store


async def verify(settings: Settings, noted: str | None) -> Verdict:
    """Look through the whole chain. Raises the store's errors."""
    store = Store(create_engine(settings, "pointsman audit"))
    try:
        return await audit.verify(store, noted)
    finally:
        await store.close()


def show_verdict(verdict: Verdict, *, as_json: bool) -> None:
    """What was found, and the hash to keep elsewhere."""
    if as_json:
        since = None if verdict.since is None else verdict.since.isoformat()
        found = {
            "entries": verdict.entries,
            "since": since,
            "head": verdict.head,
            "faults": verdict.faults,
            "role": verdict.role,
            "role_may": list(verdict.role_may),
        }
        typer.echo(json.dumps(found, indent=2))
        return
    for fault in verdict.faults:
        typer.echo(fault, err=True)
    since = "" if verdict.since is None else f", the first of {verdict.since:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"{verdict.entries:,} entries{since}: {'not as they were' if verdict.faults else 'as they were'}")
    if verdict.role_may:
        typer.echo(
            f"the role {verdict.role} could change them: it {' and '.join(verdict.role_may)}. docs/security.md says how"
            " the service gets one that could not"
        )
    if verdict.head:
        typer.echo(f"head {verdict.head}")
