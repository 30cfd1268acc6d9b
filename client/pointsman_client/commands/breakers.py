"""Circuit breakers by the command line."""

from argparse import Namespace
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial

from pointsman_client.commands.exits import Exit
from pointsman_client.commands.voice import Voice
from pointsman_client.models import Breaker
from pointsman_client.sync.client import Client


def breakers(client: Client, given: Namespace, voice: Voice) -> Exit:
    """All of them, or one; opened, closed or reset by hand."""
    if given.act is not None:
        acts: dict[str, Callable[..., Breaker]] = {
            "open": partial(client.breakers.force_open, new=given.new or None),
            "close": client.breakers.force_closed,
            "reset": client.breakers.reset,
        }
        done = acts[given.act](given.scope, given.name, reason=given.reason)
        return _told([done], voice)
    found = list(client.breakers.each(state=given.state, scope=given.scope, limit=100))
    named = [each for each in found if given.name in (None, each.name)]
    if given.name is not None and not named:
        close = get_close_matches(given.name, [each.name for each in found])
        meant = f"; did you mean {' or '.join(close)}?" if close else ""
        voice.complain(f"{given.name}: there is no such circuit breaker, or none that meets the filter{meant}")
        return Exit.REFUSED
    return _told(named, voice)


def _told(found: list[Breaker], voice: Voice) -> Exit:
    if voice.as_json:
        for breaker in found:
            voice.document(breaker)
        return Exit.WELL
    voice.table(("SCOPE", "NAME", "STATE", "FAILURES", "OPENED (UTC)", "PROBES (UTC)", "WHY"), map(_row, found))
    return Exit.WELL


def _row(breaker: Breaker) -> tuple[object, ...]:
    error, override = breaker.last_error, breaker.override
    # Without payload:read, or where a guard reported it, there is no message.
    why = "" if error is None else ": ".join(part for part in (error.type, error.message) if part)
    if override is not None:
        why = f"{override.state} by {override.actor}: {override.reason}"
    return (
        breaker.scope, breaker.name, breaker.state, breaker.failures, breaker.opened_at, breaker.retry_at, why,
    )  # fmt: skip
