"""The pools of connections to PostgreSQL."""

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pointsman_service.settings import Settings

_CONNECT_SECONDS = 3.0


def create_engine(settings: Settings, application_name: str) -> AsyncEngine:
    """A pool whose every statement is bounded in time, so that no request waits for ever.

    JIT is off: it costs more than it saves on statements of a millisecond. Plans are custom each time: a generic
    plan cached while a partition was empty stays bad when it is full.
    """
    return _engine(settings, application_name, settings.database_connections, {"plan_cache_mode": "force_custom_plan"})


def create_engines_of_api(settings: Settings, application_name: str) -> tuple[AsyncEngine, AsyncEngine]:
    """The pool of ``create_engine``, and a second one for commits of submissions, which plans a statement once for each
    connection: to plan it takes PostgreSQL half as long as to run it. Both together have no more connections than the
    one had.

    A statement of the second pool must be one whose plan stays good however its tables grow: it finds rows by an index,
    and joins only what it brings along, by hashing. So its planner knows neither sequential scans nor nested loops.
    """
    commits = min(2 * settings.commits_in_flight, settings.database_connections // 2)
    kept = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_nestloop": "off"}
    rest = settings.model_copy(update={"database_connections": settings.database_connections - commits})
    return create_engine(rest, application_name), _engine(settings, application_name, commits, kept)


def _engine(settings: Settings, application_name: str, connections: int, planning: dict[str, str]) -> AsyncEngine:
    timeout_ms = int(settings.database_timeout_seconds * 1000)
    return create_async_engine(
        settings.require_database_url(),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=settings.database_timeout_seconds,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={
            "timeout": _CONNECT_SECONDS,
            "command_timeout": settings.database_timeout_seconds + 1,
            "server_settings": {
                "application_name": application_name,
                "jit": "off",
                "statement_timeout": str(timeout_ms),
                "lock_timeout": str(int(settings.idempotency_wait_seconds * 1000)),
                "idle_in_transaction_session_timeout": str(2 * timeout_ms),
                **planning,
            },
        },
    )
