"""Every setting of a worker, validated once at start. Units are in the names.

Each is read from the environment with the prefix ``POINTSMAN_``, nested ones as JSON, else from the file that
``POINTSMAN_CONFIG`` names (``pointsman_contract.configuration``). ``docs/configuration.md`` lists them all.
"""

import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from pointsman.task_settings import TaskSettings
from pointsman_contract.configuration import BadConfiguration, json_text
from pointsman_contract.queues import DEFAULT_TOPOLOGY, Topology
from pointsman_contract.retry import RetryPolicy
from pointsman_contract.routes import TaskRoutes, lead_to_queues
from pointsman_contract.run_file import DEFAULT_DATA_DIR, RunFile
from pointsman_contract.server_urls import check_password, check_redis_url, with_password
from pointsman_contract.settings_base import SettingsBase
from pointsman_contract.settings_view import read_settings
from pointsman_contract.signing_settings import SigningSettings


def _redis(url: SecretStr | None) -> SecretStr | None:
    if url is not None:
        check_redis_url(url.get_secret_value())
    return url


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _joined(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


_JSON = BeforeValidator(json_text)


class NodeSettings(SettingsBase):
    """What a node is and where it finds the others."""

    model_config = ConfigDict(title="Nodes")

    redis_url: Annotated[SecretStr | None, AfterValidator(_redis)] = None
    """Redis or Valkey, the broker. Unset: the server of a running ``./scripts/up``."""
    redis_password: SecretStr | None = None
    """Of ``redis_url``, when it does not stand there. Any characters."""
    data_dir: Path = DEFAULT_DATA_DIR
    """Where ``./scripts/up`` keeps ``run.json``."""
    pulse_file: Path | None = None
    """Where this node says that it turns, for ``python -m pointsman_contract.pulse``; one file a node.
    Unset: nowhere."""
    task_modules: Annotated[str, BeforeValidator(_joined)] = ""
    """Importable modules with tasks, separated by commas, beside the shipped ones. A list in a file."""
    topology: Annotated[Topology, _JSON] = DEFAULT_TOPOLOGY
    """Queues and worker pools."""
    task_routes: Annotated[TaskRoutes, _JSON, AfterValidator(lead_to_queues)] = TaskRoutes()
    """``CELERY_TASK_ROUTES``: plain ``delay()`` goes the way the control plane sends the same task type."""
    retry_policy: Annotated[RetryPolicy, _JSON] = RetryPolicy()
    """``RETRY_POLICY``: what a managed task without options of its own gets."""
    worker_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    """What nodes started by ``scripts/celery_workers.sh`` log, and everything more severe. INFO: two lines a task."""
    log_json: bool = False
    """Log one JSON object a line instead of text, with the task that it is about."""
    run_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "OFF"] = "INFO"
    """From this level on it is kept beside each attempt what its code writes through ``logging``, and what it prints:
    for ``GET /v1/tasks/{id}/logs``. What a node logs itself is no more by that. OFF: nothing is kept."""
    tracing: bool = False
    """Tell an OpenTelemetry collector of each attempt, as the variables ``OTEL_*`` say. Needs the extra ``otel``."""

    @model_validator(mode="after")
    def _password_has_its_place(self) -> Self:
        check_password("redis", _plain(self.redis_url), _plain(self.redis_password), wants_user=False)
        return self


class LimitSettings(SettingsBase):
    """What a task and a message get that name nothing themselves."""

    model_config = ConfigDict(title="Limits")

    time_limit_seconds: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    """A task that names no limit is killed after so long."""
    soft_time_limit_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """A task that names no soft limit gets ``SoftTimeLimitExceeded`` after so long."""
    visibility_timeout_seconds: int = Field(default=3600, ge=60)
    """An unacknowledged message is delivered again after so long. Equal in all workers."""
    result_expires_seconds: int = Field(default=3600, ge=1)
    """How long results of plain Celery tasks are kept in Redis."""
    prefetch_multiplier: int = Field(default=1, ge=1)
    """Messages a node holds for each of its processes."""
    allow_pool_without_time_limits: bool = False
    """Accept ``-P solo`` and ``-P threads``, which ignore time limits."""


class BrokerSettings(SettingsBase):
    """How a node talks to Redis, and when it waits instead of beginning an attempt."""

    model_config = ConfigDict(title="Broker, gate and reports")

    transport: Literal["pointsman", "stock"] = "pointsman"
    """How nodes and callers talk to the broker: ``pointsman``, our own transport, or ``stock``, kombu's for Redis."""
    redis_connect_seconds: float = Field(default=2.0, gt=0)
    """Longest wait for a connection to Redis."""
    redis_read_seconds: float = Field(default=5.0, gt=0)
    """Longest wait for one answer of Redis."""
    gate_memory_percent: int = Field(default=85, ge=1, le=100)
    """Nothing is started while Redis uses more of its maxmemory."""
    gate_stream_entries: int = Field(default=1_000_000, ge=1000)
    """Nothing is started while the recorder is so many events behind."""
    gate_wait_seconds: float = Field(default=30.0, gt=0)
    """Longest wait at the gate, at most half of the time limit; then the message goes back to its queue."""
    once_seconds: int = Field(default=7 * 86_400, ge=3600)
    """How long a step of ``self.once()`` is remembered after it was last written."""
    kept_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Most memory of one process for outcomes the recorder has not passed yet."""


class Settings(
    TaskSettings, BrokerSettings, LimitSettings, SigningSettings, NodeSettings
):  # the fields of the last come first
    """A worker's configuration."""

    @model_validator(mode="after")
    def _soft_before_hard(self) -> Self:
        if self.soft_time_limit_seconds is not None and self.soft_time_limit_seconds >= self.time_limit_seconds:
            raise ValueError("soft_time_limit_seconds must be below time_limit_seconds")
        return self

    def modules(self) -> tuple[str, ...]:
        """The names in ``task_modules``."""
        return tuple(name.strip() for name in self.task_modules.split(",") if name.strip())

    def find_redis_url(self) -> str | None:
        """The Redis URL, or None when none is set and no supervisor runs."""
        if self.redis_url is not None:
            return with_password(self.redis_url.get_secret_value(), _plain(self.redis_password))
        running = RunFile.read(self.data_dir)
        return None if running is None else running.redis_url

    def find_api_url(self) -> str | None:
        """The URL of the API, or None when none is set and no supervisor runs."""
        if self.api_url is not None:
            return self.api_url
        running = RunFile.read(self.data_dir)
        return None if running is None else running.api_url

    def find_reports_dir(self) -> Path:
        """Where reports are written."""
        return self.reports_dir or self.data_dir / "reports"

    def find_cache_dir(self) -> Path:
        """What ``cleanup_cache`` cleans."""
        return self.cache_dir or self.data_dir / "cache"

    def require_redis_url(self) -> str:
        """The Redis URL. Raises ``SystemExit`` with what to do when there is none."""
        url = self.find_redis_url()
        if url is None:
            raise SystemExit("No broker: set POINTSMAN_REDIS_URL, or start ./scripts/up.")
        return url


@cache
def settings() -> Settings:
    """The settings of this process, read on first use.

    Raises ``SystemExit`` with status 2, after a line on standard error for each fault.
    """
    try:
        return read_settings(Settings)
    except BadConfiguration as error:
        sys.stderr.write("".join(f"{line}\n" for line in error.lines))
        raise SystemExit(2) from None
