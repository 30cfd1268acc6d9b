"""Every act on what is stored passes here: what is done, to what, by whom and why, in the transaction that does it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from pointsman_service.callers import Caller
from pointsman_service.errors import DatabaseAway
from pointsman_service.store import audit
from pointsman_service.store.audit import Counted, NewEntry
from pointsman_service.store.store import Connection, ConnectionLost, DatabaseTrouble, LockNotGot, Store
from pointsman_service.telemetry import client_address, logger, request_id

log = logger(__name__)


class ActKind(StrEnum):
    """Everything that somebody can do to what is stored, but submit: each has the name of its operation."""

    CANCEL = "cancel_task"
    RETRY = "retry_task"
    CHANGE = "change_task"
    SHARE = "share_task"
    CANCEL_MANY = "cancel_tasks"
    RETRY_MANY = "retry_tasks"
    STOP_MANY = "stop_task_act"
    UNDO_MANY = "undo_task_act"
    REPLAY = "replay_dead_letters"
    UNDO_REPLAY = "undo_replay"
    PAUSE = "pause_queue"
    RESUME = "resume_queue"
    PURGE = "purge_queue"
    DISCARD = "discard_set_aside_messages"
    EJECT = "eject_worker"
    ADMIT = "admit_worker"
    SET_POLICY = "set_breaker_policy"
    UNSET_POLICY = "unset_breaker_policy"
    PROBE = "probe_breaker"
    FORCE_OPEN = "force_breaker_open"
    FORCE_CLOSED = "force_breaker_closed"
    DISABLE = "disable_breaker"
    RESET = "reset_breaker"
    REPORT = "report_outcomes"
    LEASE = "ask_for_permit"
    ACKNOWLEDGE = "acknowledge_alert"
    UNACKNOWLEDGE = "unacknowledge_alert"
    SILENCE = "silence_alert"
    UNSILENCE = "unsilence_alert"
    TEST_CHANNEL = "test_alert_channel"
    RESOLVE_ERROR = "resolve_error"
    IGNORE_ERROR = "ignore_error"
    REOPEN_ERROR = "reopen_error"
    CREATE_KEY = "create_key"
    LIMIT_KEY = "limit_key"
    ROTATE_KEY = "rotate_key"
    REVOKE_KEY = "revoke_key"


BY_PROGRAMS = frozenset({ActKind.REPORT, ActKind.LEASE})
"""What other services do at each of their calls: too often to be logged or kept. What comes of it is kept as moves of
the breaker.
"""


@dataclass(slots=True)
class Act:
    """One thing that somebody does."""

    kind: ActKind
    caller: Caller
    subject: str
    """The id or the name of what it is done to."""
    reason: str | None = None
    who: str | None = None
    """Who does it, in the caller's own words; None: the caller."""
    changed: bool = True
    """Set to false, in the transaction, by an act that finds nothing to change."""
    counts: Mapping[str, Counted] | None = None
    """What there was before and after, as ``was`` has it."""

    def was(self, before: Counted, after: Counted, **beside: Counted) -> None:
        """Say in the transaction what there was and what there is: how many, a state, or the fields that differ."""
        self.counts = {"before": before, "after": after, **beside}

    @property
    def actor(self) -> str:
        """Who is named with what was done."""
        return self.who or self.caller.name


@asynccontextmanager
async def acting(store: Store, act: Act) -> AsyncIterator[Connection]:
    """The transaction of an act: all of it is stored, or nothing. Raises what ``Store.transaction`` raises.

    What changed something is kept in it (``store.audit``), and what is asked for is logged once it is committed, with
    whether it changed anything. An act that turns out to change nothing may do without.
    """
    async with store.transaction() as connection:
        yield connection
        if act.changed and act.kind not in BY_PROGRAMS:
            await audit.add(connection, _entry(act))
    _log(act)


def _entry(act: Act) -> NewEntry:
    called = request_id.get()
    return NewEntry(
        act=act.kind,
        subject=act.subject,
        actor=act.actor,
        caller=act.caller.name,
        address=client_address.get(),
        reason=act.reason,
        request_id=None if called is None else called.decode("ascii"),
        counts=act.counts,
    )


@asynccontextmanager
async def once_done() -> AsyncIterator[None]:
    """What follows the transaction of an act: who asked must not hear that nothing was stored, for it was.

    Raises ``DatabaseAway`` that says so where the database fails here.
    """
    try:
        yield
    except (DatabaseAway, ConnectionLost, DatabaseTrouble, LockNotGot) as error:
        raise DatabaseAway(
            "It is done and stored; what it came to cannot be read now. Look before you ask again."
        ) from error


def _log(act: Act) -> None:
    if act.kind not in BY_PROGRAMS:
        log.info(
            "an act was done" if act.changed else "an act changed nothing",
            act=str(act.kind),
            subject=act.subject,
            actor=act.actor,
            reason=act.reason,
        )
