"""Every setting of the control plane, validated once at start. Units are in the names.

Each is read from the environment with the prefix ``POINTSMAN_``; nested ones are JSON.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.queues import DEFAULT_TOPOLOGY, Topology
from contract.run_file import DEFAULT_DATA_DIR, RunFile


def _async_driver(url: SecretStr | None) -> SecretStr | None:
    """Accept ``postgres://`` and ``postgresql://`` as people write them: the driver is always asyncpg."""
    if url is None:
        return None
    text = url.get_secret_value()
    for prefix in ("postgres://", "postgresql://"):
        if text.startswith(prefix):
            return SecretStr("postgresql+asyncpg://" + text.removeprefix(prefix))
    if not text.startswith("postgresql+asyncpg://"):
        raise ValueError("must start with postgresql://")
    return url


def _redis_scheme(url: SecretStr | None) -> SecretStr | None:
    if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must start with redis://, rediss:// or unix://")
    return url


class RouteSpec(BaseModel):
    """Where ``task_routes`` sends a task type: the shape of one entry of Celery's ``task_routes``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: str


class Settings(BaseSettings):
    """The control plane's configuration. Raises ``pydantic.ValidationError`` naming every bad value."""

    model_config = SettingsConfigDict(env_prefix="POINTSMAN_", frozen=True, extra="ignore")

    database_url: Annotated[SecretStr | None, AfterValidator(_async_driver)] = None
    """PostgreSQL 15 or newer. Unset: the server of a running ``./scripts/up``."""
    redis_url: Annotated[SecretStr | None, AfterValidator(_redis_scheme)] = None
    """Redis 7 or Valkey 8 or newer, the Celery broker. Unset: the server of a running ``./scripts/up``."""
    data_dir: Path = DEFAULT_DATA_DIR
    """Where ``./scripts/up`` keeps its data and ``run.json``."""
    host: str = "127.0.0.1"
    """Address the API binds. Without access control keep it on this machine."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port of the API."""
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """What is logged, and everything more severe."""
    log_json: bool = False
    """Log one JSON object a line instead of text."""
    pulse_file: Path | None = None
    """Where this process says that it turns, for ``python -m contract.pulse``; one file a process. Unset: nowhere."""

    topology: Topology = DEFAULT_TOPOLOGY
    """Queues and worker pools, as JSON."""
    task_routes: dict[str, RouteSpec] = Field(default_factory=dict)
    """Overrides the queue a task type asks for: ``{"send_reminder_email": {"queue": "email"}}``."""

    body_bytes: int = Field(default=256 * 1024, ge=1024)
    """Longest request body, but for a batch."""
    batch_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """Longest body of ``POST /v1/tasks/batch``."""
    batch_items: int = Field(default=1000, ge=1)
    """Most tasks in one batch."""
    json_depth: int = Field(default=32, ge=4, le=128)
    """Deepest nesting of a request body."""

    database_connections: int = Field(default=10, ge=4)
    """Connections of one process to PostgreSQL."""
    database_timeout_seconds: float = Field(default=5.0, gt=0)
    """A statement of a request that takes longer is ended and answered 503."""
    redis_timeout_seconds: float = Field(default=2.0, gt=0)
    """Longest wait for one answer of Redis."""

    commit_rows: int = Field(default=256, ge=1, le=5000)
    """Most submissions in one commit."""
    commit_bytes: int = Field(default=1024 * 1024, ge=64 * 1024)
    """Most bytes of arguments in one commit."""
    commits_in_flight: int = Field(default=2, ge=1, le=8)
    """Commits of submissions one API process runs at once."""
    submissions_waiting: int = Field(default=10_000, ge=1)
    """Submissions waiting for a commit in one API process; one more is answered 503."""
    idempotency_seconds: float = Field(default=86_400.0, gt=0)
    """How long an Idempotency-Key is remembered."""
    idempotency_wait_seconds: float = Field(default=2.0, gt=0)
    """How long a concurrent twin waits for the first call."""
    unknown_outcome_seconds: float = Field(default=1.0, gt=0)
    """How long to look for submissions whose COMMIT got no answer."""

    window_initial: int = Field(default=200, ge=1)
    """Messages of a queue on the broker until its service rate is known."""
    window_seconds: float = Field(default=10.0, gt=0)
    """The window holds this much work, by the measured service rate."""
    window_max: int = Field(default=50_000, ge=1)
    """Largest window of a queue."""
    dispatch_memory_percent: int = Field(default=70, ge=1, le=100)
    """Nothing is published while Redis uses more of its maxmemory."""
    dispatch_interval_seconds: float = Field(default=0.1, gt=0)
    """Pause between two passes of the dispatcher that found little."""
    outbox_age_seconds: float = Field(default=3.0, gt=0)
    """An outbox row older than this was left behind: its tasks are sent again."""

    record_events: int = Field(default=500, ge=1, le=10_000)
    """Most events in one transaction of the recorder."""
    record_wait_seconds: float = Field(default=0.5, ge=0.001, le=1)
    """Longest wait of the recorder for the next event before it looks after its lead."""
    leader_seconds: float = Field(default=5.0, gt=0)
    """A leader that does not renew for so long is replaced."""
    due_interval_seconds: float = Field(default=0.25, gt=0)
    """Pause between two looks for tasks whose time has come."""
    sweep_interval_seconds: float = Field(default=1.0, gt=0)
    """Pause between two passes of a sweep that found little."""
    census_seconds: float = Field(default=4.0, gt=0)
    """How long a new epoch waits for living workers to say what they run."""
    worker_dead_seconds: float = Field(default=10.0, gt=0)
    """A worker whose beat counter stands still so long is dead."""

    @model_validator(mode="after")
    def _routes_lead_to_queues(self) -> Self:
        for task_type, route in self.task_routes.items():
            if self.topology.queue(route.queue) is None:
                raise ValueError(f"task_routes sends {task_type} to {route.queue}, which is not a queue")
        return self

    def require_database_url(self) -> str:
        """The database URL. Raises ``SystemExit`` with what to do when there is none."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        running = RunFile.read(self.data_dir)
        if running is None:
            raise SystemExit("No database: set POINTSMAN_DATABASE_URL, or start ./scripts/up.")
        return running.database_url

    def require_redis_url(self) -> str:
        """The Redis URL. Raises ``SystemExit`` with what to do when there is none."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        running = RunFile.read(self.data_dir)
        if running is None:
            raise SystemExit("No broker: set POINTSMAN_REDIS_URL, or start ./scripts/up.")
        return running.redis_url
