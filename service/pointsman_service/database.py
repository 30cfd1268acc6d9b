"""The one place that connects to PostgreSQL."""

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pointsman_service.settings import Settings

_CONNECT_SECONDS = 3.0


def create_engine(settings: Settings, application_name: str) -> AsyncEngine:
    """A pool whose every statement is bounded in time, so that no request waits for ever.

    JIT is off: it costs more than it saves on statements of a millisecond. Plans are custom each time: a generic
    plan cached while a partition was empty stays bad when it is full.
    """
    timeout_ms = int(settings.database_timeout_seconds * 1000)
    return create_async_engine(
        settings.require_database_url(),
        pool_size=settings.database_connections,
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
                "plan_cache_mode": "force_custom_plan",
                "statement_timeout": str(timeout_ms),
                "lock_timeout": str(int(settings.idempotency_wait_seconds * 1000)),
                "idle_in_transaction_session_timeout": str(2 * timeout_ms),
            },
        },
    )
