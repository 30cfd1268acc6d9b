"""Settings that are valid and dangerous all the same. Pure."""

from collections.abc import Iterator, Sequence

from pointsman_contract.events import BEAT_SECONDS
from pointsman_service.access.roles import Roles
from pointsman_service.console.doctor.finding import Finding, fault, ok, warning
from pointsman_service.named_hosts import is_loopback
from pointsman_service.observe.sla import FAST_BURN
from pointsman_service.settings import Settings

_LONGEST_STATEMENT_SECONDS = 60.0
"""A request is not answered for so long."""
_BEATS_MISSED = 3


def bad_settings(lines: Sequence[str]) -> list[Finding]:
    """Settings that no process would start with; a line for each fault."""
    return [
        fault("settings", line, "Correct it; python -m pointsman_service config says where values come from.")
        for line in lines
    ]


def settings(given: Settings, misspelt: Sequence[str]) -> list[Finding]:
    """Names that are no setting, and values that do harm."""
    found = [warning("settings.names", line, "Correct or remove the name: it has no effect.") for line in misspelt]
    found += _unknown_rights(given)
    found += _risky(given)
    return found or [ok("settings", "every setting is valid")]


def _unknown_rights(given: Settings) -> Iterator[Finding]:
    try:
        Roles(given)
    except ValueError as error:
        yield fault("settings", f"POINTSMAN_OIDC_ROLES: {error}", "Correct it: no API starts with it.")


def _risky(given: Settings) -> Iterator[Finding]:
    check = "settings.values"
    if not is_loopback(given.host) and "*" in given.allowed_hosts:
        yield warning(
            check,
            f"the API binds {given.host} and answers to any name",
            "Name in POINTSMAN_ALLOWED_HOSTS what callers use.",
        )
    if given.worker_dead_seconds < _BEATS_MISSED * BEAT_SECONDS:
        yield warning(
            check,
            f"worker_dead_seconds is {given.worker_dead_seconds:g}, and nodes beat every {BEAT_SECONDS:g} s: one late"
            " beat makes a node dead, and what it runs is run again",
            f"Set it to {_BEATS_MISSED * BEAT_SECONDS:g} or more.",
        )
    if given.alert_memory_percent >= given.dispatch_memory_percent:
        yield warning(
            check,
            f"alert_memory_percent ({given.alert_memory_percent}) is not below dispatch_memory_percent"
            f" ({given.dispatch_memory_percent}): nothing is sent before anybody is told",
            "Set it below.",
        )
    if given.idempotency_wait_seconds >= given.database_timeout_seconds:
        yield warning(
            check,
            f"idempotency_wait_seconds ({given.idempotency_wait_seconds:g}) is not below database_timeout_seconds"
            f" ({given.database_timeout_seconds:g}): twins of a submission are answered 503 instead of waiting",
            "Set it below.",
        )
    if given.database_timeout_seconds > _LONGEST_STATEMENT_SECONDS:
        yield warning(
            check,
            f"database_timeout_seconds is {given.database_timeout_seconds:g}: while PostgreSQL is slow every request"
            " waits for so long",
            "5 is the default.",
        )
    if given.alert_role_missing_seconds < given.leader_seconds:
        yield warning(
            check,
            f"alert_role_missing_seconds ({given.alert_role_missing_seconds:g}) is below leader_seconds"
            f" ({given.leader_seconds:g}): a leader that is replaced in time is an alert",
            "Set it above.",
        )
    if (1 - given.alert_sla_objective) * FAST_BURN > 1:
        yield warning(
            check,
            f"alert_sla_objective is {given.alert_sla_objective:g}: sla_fast_burn is told only when every start misses",
            f"Set it to {1 - 1 / FAST_BURN:.2f} or more.",
        )
    if given.alert_repeat_seconds > given.alert_give_up_seconds:
        yield warning(
            check,
            f"alert_give_up_seconds ({given.alert_give_up_seconds:g}) is below alert_repeat_seconds"
            f" ({given.alert_repeat_seconds:g}): a channel that is away for so long hears nothing for longer",
            "Set it above.",
        )
