"""What is wrong with PostgreSQL, and with what of ours is in it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from pointsman_contract.counted import counted
from pointsman_service.alert.kinds import KINDS, Rule
from pointsman_service.console.doctor.clock_checks import clock
from pointsman_service.console.doctor.finding import Finding, Unknown, fault, ok, unknown, warning
from pointsman_service.console.doctor.redis_checks import size
from pointsman_service.observe.explain import sentences
from pointsman_service.observe.spans import span
from pointsman_service.settings import Settings
from pointsman_service.store.upkeep.condition import ServerCondition, UpkeepCondition
from pointsman_service.store.upkeep.indexes import LackingIndex

_OLDEST, _NEWEST = 15, 18
_CONNECTIONS_PERCENT = 80
_FREEZE_SLACK = 1.5
"""Autovacuum begins to freeze at its limit; so many times that says that it does not get on."""
_TRANSACTIONS_MOST = 1_500_000_000
"""At two thousand million PostgreSQL takes no transaction any more."""
_DEAD_ROWS = 1_000_000
_DAYS_AHEAD = 2
_LONG_FAULT_SECONDS = 3600.0
_FREE_WARNING, _FREE_FAULT = 0.15, 0.05
_FREE_FAULT_BYTES = 512 * 1024 * 1024
_NAMED = 5


@dataclass(frozen=True, slots=True)
class SchemaFacts:
    """The schema beside what this release needs."""

    revision: str | None
    newest: str
    """The head of the migrations that came with this release."""
    lacks: tuple[str, ...]
    """What is not there and this release needs."""
    unbuilt: tuple[LackingIndex, ...] = ()
    """Indexes of days that a migration has left to be built; none are known while something else lacks."""
    role: str = ""
    """Ours."""
    role_may: tuple[str, ...] = ()
    """By what it could change what is kept of acts, in words."""


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """The file system of the server's data."""

    free: int
    total: int


def postgres(condition: ServerCondition | Unknown, settings: Settings) -> list[Finding]:
    """The server."""
    if isinstance(condition, Unknown):
        away = fault(
            "postgresql",
            sentences.database_away(condition.why).removesuffix("."),
            KINDS[Rule.DATABASE_AWAY].next_step,
        )
        rest = ("version", "durability", "connections", "wraparound", "clock")
        return [away, *(unknown(f"postgresql.{name}", Unknown("PostgreSQL does not answer")) for name in rest)]
    return [
        reachable(condition),
        version(condition),
        *durability(condition),
        connections(condition, settings),
        wraparound(condition),
        clock("postgresql.clock", "PostgreSQL", condition.ahead_seconds, condition.unsure_seconds),
    ]


def reachable(condition: ServerCondition) -> Finding:
    """It answers; does it take anything?"""
    if condition.is_standby:
        return fault(
            "postgresql", "it is a standby, which takes nothing", "Let POINTSMAN_DATABASE_URL name the primary."
        )
    if condition.read_only:
        return fault("postgresql", "its transactions are read only", "Set default_transaction_read_only off.")
    return ok("postgresql", f"PostgreSQL answers within {2000 * condition.unsure_seconds:.0f} ms")


def version(condition: ServerCondition) -> Finding:
    """15 to 18."""
    major = condition.version // 10_000
    says = f"PostgreSQL {major}.{condition.version % 10_000}"
    if major < _OLDEST:
        return fault("postgresql.version", f"{says} is too old", f"Use PostgreSQL {_OLDEST} to {_NEWEST}.")
    if major > _NEWEST:
        return warning(
            "postgresql.version", f"{says} is newer than what this release was tried with", "See the release notes."
        )
    return ok("postgresql.version", says)


def durability(condition: ServerCondition) -> Iterator[Finding]:
    """Whether a commit survives a crash: 202 says that it does."""
    check = "postgresql.durability"
    off = [
        name
        for name, is_on in (("fsync", condition.fsync), ("full_page_writes", condition.full_page_writes))
        if not is_on
    ]
    if off:
        yield fault(
            check,
            f"{' and '.join(off)} {'is' if len(off) == 1 else 'are'} off: a crash of the machine may leave a database"
            " that cannot be read",
            "Turn on what is off.",
        )
    if condition.synchronous_commit == "off":
        yield fault(
            check,
            "synchronous_commit is off: a crash loses tasks that were answered 202",
            "Set it to on, for our account at least.",
        )
    elif not off:
        yield ok(check, "what is committed survives a crash")


def connections(condition: ServerCondition, settings: Settings) -> Finding:
    """Used, and how many there may be."""
    used, most = condition.connections, condition.most_connections
    says = f"{used} of {most} connections used, {condition.ours} of them by Pointsman"
    if 100 * used >= _CONNECTIONS_PERCENT * most or used + settings.database_connections > most:
        return warning(
            "postgresql.connections",
            f"{says}; one process takes up to {settings.database_connections} (database_connections)",
            "Raise max_connections, or let each process have fewer.",
        )
    return ok("postgresql.connections", says)


def wraparound(condition: ServerCondition) -> Finding:
    """Whether old rows are frozen in time."""
    check = "postgresql.wraparound"
    age = max(condition.transaction_age, condition.multixact_age)
    says = f"{age:,} transactions since the oldest row was frozen"
    advice = "Let VACUUM run through: end what holds it up (long transactions, replication slots, prepared ones)."
    if age >= _TRANSACTIONS_MOST:
        return fault(check, f"{says}: at 2,000,000,000 PostgreSQL takes nothing any more", advice)
    if age >= _FREEZE_SLACK * condition.freeze_age:
        return warning(check, f"{says}, and autovacuum should have from {condition.freeze_age:,} on", advice)
    return ok(check, says)


def schema(facts: SchemaFacts | Unknown) -> Finding:
    """Whether the database has what this release needs."""
    check = "postgresql.schema"
    if isinstance(facts, Unknown):
        return unknown(check, facts)
    at = facts.revision or "nothing"
    if facts.lacks:
        more = len(facts.lacks) - _NAMED
        named = ", ".join(facts.lacks[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        other = "" if at == facts.newest else f", not at {facts.newest}"
        return fault(
            check,
            f"the schema is at {at}{other}; it lacks {named}",
            "Run python -m pointsman_service migrate with the newer of the two releases.",
        )
    if at != facts.newest:
        return warning(
            check,
            f"the schema is at {at}, and this release came with {facts.newest}; it has what is needed",
            "While a release is rolled out that is as it should be; else run python -m pointsman_service migrate.",
        )
    return ok(check, f"the schema is at {at}, the newest")


def audit(facts: SchemaFacts | Unknown, settings: Settings) -> Finding:
    """Whether the service could change what is kept of acts."""
    check = "postgresql.audit"
    if isinstance(facts, Unknown):
        return unknown(check, facts)
    if not facts.role_may:
        return ok(check, f"the role {facts.role} can add to what is kept of acts, and change none of it")
    says = f"the role {facts.role} could change what is kept of acts: it {' and '.join(facts.role_may)}"
    if not settings.asks_for_keys:
        return ok(check, says)
    return warning(
        check, says, "Let migrate have database_owner_url, and the service a role of its own (docs/security.md)."
    )


def indexes(facts: SchemaFacts | Unknown) -> Finding:
    """Whether every day of ended tasks has the indexes that lists look into."""
    check = "postgresql.indexes"
    if isinstance(facts, Unknown):
        return unknown(check, facts)
    if facts.lacks:
        return unknown(check, Unknown("the schema lacks what this release needs"))
    lacking = facts.unbuilt
    if not lacking:
        return ok(check, "every day of ended tasks has its indexes")
    more = len(lacking) - _NAMED
    named = ", ".join(one.name for one in lacking[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    what = "1 index of ended tasks is" if len(lacking) == 1 else f"{len(lacking)} indexes of ended tasks are"
    return warning(
        check,
        f"{what} still to be built, on {size(sum(one.bytes for one in lacking))} of rows: {named}. Until then lists"
        " find less in the same time, and say how far they have looked",
        "Build them while everything runs: python -m pointsman_service index",
    )


def upkeep(condition: UpkeepCondition | Unknown, server: ServerCondition | Unknown) -> list[Finding]:
    """What stands for itself and grows."""
    if isinstance(condition, Unknown):
        names = ("partitions", "transactions", "vacuum")
        return [unknown(f"postgresql.{name}", condition) for name in names]
    return [partitions(condition), transactions(condition), vacuum(condition, server)]


def partitions(condition: UpkeepCondition) -> Finding:
    """Days that have a table of their own before they come."""
    check = "postgresql.partitions"
    ahead = -1 if condition.newest_day is None else (condition.newest_day - condition.today).days
    advice = "The reconciler makes them: see what it logs."
    if ahead < 0:
        return fault(check, "today has no partition: what ends is kept in the one for the rest, and slows down", advice)
    says = f"partitions are there for {counted(ahead, 'day')} to come"
    return ok(check, says) if ahead >= _DAYS_AHEAD else warning(check, says, advice)


def transactions(condition: UpkeepCondition) -> Finding:
    """Those that keep dead rows from being cleared away."""
    check = "postgresql.transactions"
    found = condition.long_transactions
    if not found:
        return ok(check, "no transaction is open for long")
    oldest = found[0]
    who = f"process {oldest.pid}" + (f" ({oldest.application})" if oldest.application else "")
    says = f"a transaction of {who} has been open for {span(oldest.seconds)}, {oldest.state or 'state not known'}"
    if len(found) > 1:
        says += f", and {len(found) - 1} more for long"
    advice = f"End it: SELECT pg_terminate_backend({oldest.pid}). Until then no dead row is cleared away."
    return (fault if oldest.seconds >= _LONG_FAULT_SECONDS else warning)(check, says, advice)


def vacuum(condition: UpkeepCondition, server: ServerCondition | Unknown) -> Finding:
    """Whether dead rows are cleared away."""
    check = "postgresql.vacuum"
    if not isinstance(server, Unknown) and not server.autovacuum:
        return fault(
            check,
            "autovacuum is off, or the statistics that it needs: dead rows stay, and every statement slows down",
            "Set autovacuum and track_counts on.",
        )
    last = "never" if condition.vacuumed_at is None else f"{condition.vacuumed_at:%Y-%m-%d %H:%M} UTC"
    says = f"{condition.dead_rows:,} dead rows beside {condition.live_rows:,} unfinished tasks; last vacuumed: {last}"
    if condition.dead_rows >= _DEAD_ROWS and condition.dead_rows > condition.live_rows:
        return warning(
            check, says, "See whether a long transaction or a replication slot holds VACUUM up; else VACUUM task_live."
        )
    return ok(check, says)


def disk(condition: UpkeepCondition | Unknown, facts: DiskFacts | Unknown) -> Finding:
    """Size, and what is left where that can be seen from here."""
    check = "postgresql.disk"
    if isinstance(condition, Unknown):
        return unknown(check, condition)
    says = f"the database has {size(condition.bytes)}"
    if isinstance(facts, Unknown):
        return ok(check, f"{says}; what is left on its disk is not known: {facts.why}")
    says += f", and {size(facts.free)} of {size(facts.total)} are free on its disk"
    share = facts.free / facts.total if facts.total else 0.0
    advice = "Give it room, or keep less: retention_days says how long finished tasks stay."
    if share < _FREE_FAULT or facts.free < _FREE_FAULT_BYTES:
        return fault(check, says, advice)
    if share < _FREE_WARNING:
        return warning(check, says, advice)
    return ok(check, says)
