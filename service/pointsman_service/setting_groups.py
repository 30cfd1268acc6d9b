"""The settings of the control plane by what they are about. Units are in the names.

The title of a class heads its settings in ``python -m pointsman_service config`` and in ``docs/configuration.md``.
"""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, FilePath, SecretStr, model_validator

from pointsman_contract.addresses import allowed_networks
from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.configuration import json_text
from pointsman_contract.queues import DEFAULT_TOPOLOGY, Topology
from pointsman_contract.retry import RetryPolicy
from pointsman_contract.routes import TaskRoutes, lead_to_queues
from pointsman_contract.run_file import DEFAULT_DATA_DIR
from pointsman_contract.server_urls import UNREADABLE, check_password, check_redis_url
from pointsman_contract.settings_base import SettingsBase
from pointsman_service.channel_settings import AlertChannel, unlike_names
from pointsman_service.limits import LEAST_WEIGHT, MOST_BURST, MOST_QUOTA, MOST_WEIGHT, Rate, rate_of
from pointsman_service.named_hosts import host_names, is_loopback, page_origins

_DATABASE_SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")


def _async_driver(url: SecretStr | None) -> SecretStr | None:
    """Accept a URL as libpq takes it and providers hand it out; the driver is always asyncpg, which says ``ssl``."""
    if url is None:
        return None
    scheme, separator, rest = url.get_secret_value().partition("://")
    if not separator or scheme not in _DATABASE_SCHEMES:
        raise ValueError("must start with postgresql://")
    place, mark, query = rest.partition("?")
    parameters = query.split("&")
    if any(parameter.startswith("sslrootcert=") for parameter in parameters):
        raise ValueError("sslrootcert is not understood in the URL: set PGSSLROOTCERT instead")
    renamed = [f"ssl={found[8:]}" if found.startswith("sslmode=") else found for found in parameters]
    # As SQLAlchemy reads it, whose error would quote what stands for a port.
    server = (place.partition("@")[2] if "@" in place else place).partition("/")[0]
    port = server.rpartition("]")[2].partition(":")[2]
    if port and not (port.isascii() and port.isdecimal() and int(port) <= 65535):
        raise ValueError(UNREADABLE)
    return SecretStr(f"postgresql+asyncpg://{place}{mark}{'&'.join(renamed)}")


def _redis(url: SecretStr | None) -> SecretStr | None:
    if url is not None:
        check_redis_url(url.get_secret_value())
    return url


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _words(value: object) -> object:
    """One or several, as a list, as JSON, or separated by commas."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return json_text(value)


def _issuer(url: str | None) -> str | None:
    """On this machine it may do without TLS; elsewhere whoever is on the way could give us keys of theirs."""
    if url is None:
        return None
    parts = urlsplit(url)
    if not parts.hostname or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("must be a URL with a host, and without a user, a query or a fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("must be an https URL")
    return url


def _rate(text: str | None) -> str | None:
    if text is not None:
        rate_of(text, None)
    return text


_JSON = BeforeValidator(json_text)


class ProcessSettings(SettingsBase):
    """What a process is and where it finds the others."""

    model_config = ConfigDict(title="Servers and process")

    database_url: Annotated[SecretStr | None, AfterValidator(_async_driver)] = None
    """PostgreSQL 15 or newer. Unset: the server of a running ``./scripts/up``."""
    database_password: SecretStr | None = None
    """Of the user in ``database_url``, when it does not stand there. Any characters."""
    database_owner_url: Annotated[SecretStr | None, AfterValidator(_async_driver)] = None
    """Of ``migrate`` alone: the same database as another user, who owns what is kept of acts. That of ``database_url``
    can only add to it then, and is made if it is not there. Unset: one user does everything."""
    database_owner_password: SecretStr | None = None
    """Of the user in ``database_owner_url``, when it does not stand there. Any characters."""
    redis_url: Annotated[SecretStr | None, AfterValidator(_redis)] = None
    """Redis 7 or Valkey 8 or newer, the Celery broker. Unset: the server of a running ``./scripts/up``."""
    redis_password: SecretStr | None = None
    """Of ``redis_url``, when it does not stand there. Any characters."""
    data_dir: Path = DEFAULT_DATA_DIR
    """Where ``./scripts/up`` keeps its data and ``run.json``."""
    host: str = "127.0.0.1"
    """Address the API binds. Where others than this machine reach it, callers need keys."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port of the API."""
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(host_names)] = ()
    """Names the API answers to, by commas, beside this machine's own and that of ``alert_base_url``; ``*`` is any."""
    allowed_origins: Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(page_origins)] = ()
    """Origins (``https://…``) of other pages that may ask a browser to act, by commas."""
    keys_required: bool | None = None
    """Ask every caller for a key (``python -m pointsman_service keys``). Unset: where others than this machine reach
    ``host``, and of what a proxy passes on. False: never, which is only taken where nobody else reaches ``host``."""
    session_seconds: float = Field(default=8 * 3600.0, ge=60, le=7 * 86_400)
    """So long a browser that signed in to the dashboard stays so."""
    link_seconds: float = Field(default=86_400.0, ge=60, le=30 * 86_400)
    """Longest that a signed link of a task lasts."""
    metrics_open: bool = False
    """Let anybody read ``/metrics`` and ``/readyz?verbose`` where others are asked for a key."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """What is logged, and everything more severe."""
    log_json: bool = False
    """Log one JSON object a line instead of text. Of workers with the task that it is about."""
    tracing: bool = False
    """Tell an OpenTelemetry collector what happens to each task, as the variables ``OTEL_*`` say. Needs the extra
    ``otel``."""
    pulse_file: Path | None = None
    """Where this process says that it turns, for ``python -m pointsman_contract.pulse``; one file a process.
    Unset: nowhere."""

    @model_validator(mode="after")
    def _only_this_machine_comes_without_a_key(self) -> Self:
        if self.keys_required is False and not is_loopback(self.host):
            raise ValueError(f"keys_required: must not be false where others reach the API, which binds {self.host}")
        return self

    @property
    def asks_for_keys(self) -> bool:
        """Whether nobody comes without a key."""
        return not is_loopback(self.host) if self.keys_required is None else self.keys_required

    @model_validator(mode="after")
    def _passwords_have_their_place(self) -> Self:
        check_password("database", _plain(self.database_url), _plain(self.database_password), wants_user=True)
        owner, password = _plain(self.database_owner_url), _plain(self.database_owner_password)
        check_password("database_owner", owner, password, wants_user=True)
        check_password("redis", _plain(self.redis_url), _plain(self.redis_password), wants_user=False)
        return self


class OidcSettings(SettingsBase):
    """Callers and people whom an OpenID Connect issuer knows, beside keys."""

    model_config = ConfigDict(title="OpenID Connect")

    oidc_issuer: Annotated[str | None, AfterValidator(_issuer)] = None
    """Its URL, as it stands in ``iss`` of its tokens. Unset: only keys are known."""
    oidc_audience: Annotated[tuple[str, ...], BeforeValidator(_words)] = ()
    """What ``aud`` of a bearer token must name one of, by commas. Unset: no bearer tokens are taken."""
    oidc_roles_claim: str = Field(default="roles", min_length=1)
    """Where the roles of a caller stand, such as ``groups`` or ``realm_access.roles``: a list, or words."""
    oidc_roles: Annotated[
        dict[str, Annotated[tuple[str, ...], BeforeValidator(_words), Field(min_length=1)]], _JSON
    ] = Field(default={})
    """What each role may: presets and scopes of keys (``{"oncall": "operator,payload:read"}``). Others may nothing."""
    oidc_name_claim: str = Field(default="sub", min_length=1)
    """Where the name of a caller stands, which is then ``oidc:`` and that. Nobody else may ever get the same one."""
    oidc_client_id: str | None = Field(default=None, min_length=1)
    """What the issuer knows the dashboard by. Unset: nobody signs in to it through the issuer."""
    oidc_client_secret: SecretStr | None = None
    """Of ``oidc_client_id``, where the issuer gave it one."""
    oidc_scopes: str = Field(default="openid profile email", pattern=r"^([!-~]+ )*openid( [!-~]+)*$")
    """What the issuer is asked for at sign-in; its ID token must hold the roles."""
    oidc_leeway_seconds: float = Field(default=30.0, ge=0, le=300)
    """So far may the clock of the issuer be from ours."""
    oidc_ca_file: FilePath | None = None
    """Certificate authorities (PEM) to trust for the issuer instead of the usual ones."""

    @model_validator(mode="after")
    def _the_issuer_is_of_use(self) -> Self:
        if self.oidc_issuer is not None and not self.oidc_roles:
            raise ValueError("oidc_roles: must say of at least one role what it may, or nobody may anything")
        if self.oidc_issuer is None and (self.oidc_client_id is not None or self.oidc_audience):
            raise ValueError("oidc_issuer: is missing, and nothing of OpenID Connect works without it")
        if self.oidc_issuer is not None and not self.oidc_audience and self.oidc_client_id is None:
            raise ValueError("oidc_audience: must be set, or oidc_client_id, or the issuer lets nobody in")
        return self


class RoutingSettings(SettingsBase):
    """Where tasks go, and what is done about those that fail."""

    model_config = ConfigDict(title="Queues, routes and policies")

    topology: Annotated[Topology, _JSON] = DEFAULT_TOPOLOGY
    """Queues and worker pools."""
    task_routes: Annotated[TaskRoutes, _JSON, AfterValidator(lead_to_queues)] = TaskRoutes()
    """``CELERY_TASK_ROUTES``: overrides the queue a task type asks for, by its name or a pattern."""
    circuit_breaker: Annotated[BreakerPolicy, _JSON] = BreakerPolicy()
    """``CIRCUIT_BREAKER``: the policy of every circuit breaker that has none of its own."""
    breakers_most: int = Field(default=10_000, ge=1)
    """Circuit breakers that may be kept. Somebody who reports calls of ever new names cannot fill the database."""
    retry_policy: Annotated[RetryPolicy, _JSON] = RetryPolicy()
    """``RETRY_POLICY``: what a managed task without options of its own gets. The workers act on it."""


class OutlierSettings(SettingsBase):
    """When a worker is taken off its queues."""

    model_config = ConfigDict(title="Workers that stand out")

    outlier_ejection: bool = True
    """Take a worker off its queues whose failures stand out from its peers'. False: those that are off come back."""
    outlier_window_seconds: float = Field(default=60.0, ge=10, le=600)
    """How far back failures of workers are compared."""
    outlier_minimum_calls: int = Field(default=10, ge=2)
    """A worker with fewer calls that its peers ran, too, does not stand out."""
    outlier_minimum_excess: float = Field(default=0.3, gt=0, le=1)
    """Share of its calls that must have failed beyond what its peers' rates would give, for a worker to stand out."""
    outlier_probation_calls: int = Field(default=10, ge=1)
    """A worker that was let back is admitted after so many calls that do not stand out."""


class RequestSettings(SettingsBase):
    """What a caller may ask for, and how long."""

    model_config = ConfigDict(title="Requests")

    body_bytes: int = Field(default=256 * 1024, ge=1024)
    """Longest request body, but for a batch; and longest arguments of a task, in a batch too."""
    batch_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """Longest body of ``POST /v1/tasks/batch``."""
    batch_items: int = Field(default=1000, ge=1)
    """Most tasks in one batch."""
    json_depth: int = Field(default=32, ge=4, le=128)
    """Deepest nesting of a request body."""
    head_bytes: int = Field(default=32 * 1024, ge=8 * 1024, le=1024 * 1024)
    """Longest head of a request: its path and its header fields."""
    connections_most: int = Field(default=1000, ge=10)
    """Connections of callers one API process keeps open; for one more the longest idle is closed."""
    listeners_most: int = Field(default=500, ge=1)
    """Of them, listeners to streams of events (``/v1/tasks/events`` and others); one more is answered 503."""
    caller_listeners_most: int | None = Field(default=None, ge=1)
    """Of these, those of one caller. Unset: as many as it leaves free for others."""
    wait_seconds: int = Field(default=30, ge=0, le=600)
    """Longest that ``Prefer: wait`` lets an answer wait; 0: none waits. Keep it below what a load balancer before it
    has."""
    receive_seconds: float = Field(default=15.0, ge=1)
    """How long the head of a request may take to arrive, and a body may stand still."""
    idle_seconds: float = Field(default=75.0, ge=1)
    """How long a connection stays open between two requests. Keep it above what a load balancer before it has."""
    caller_rate: Annotated[str | None, AfterValidator(_rate)] = None
    """How fast one caller may submit, as ``100/60s``, where its key does not say. Unset: as fast as it likes."""
    caller_burst: int | None = Field(default=None, ge=1, le=MOST_BURST)
    """Of ``caller_rate``: how many tasks at once, after a pause. Unset: as many as it says."""

    caller_quota: int | None = Field(default=None, ge=1, le=MOST_QUOTA)
    """How many tasks of one caller may be due and not started, where its key does not say. Unset: any number."""

    @model_validator(mode="after")
    def _a_burst_is_of_a_rate(self) -> Self:
        if self.caller_burst is not None and self.caller_rate is None:
            raise ValueError("caller_burst: is of caller_rate, which is not set")
        return self

    @property
    def default_rate(self) -> Rate | None:
        """Of every caller whose key says nothing."""
        return rate_of(self.caller_rate, self.caller_burst)


class ConnectionSettings(SettingsBase):
    """To PostgreSQL and Redis."""

    model_config = ConfigDict(title="Connections")

    database_connections: int = Field(default=10, ge=4)
    """Connections of one process to PostgreSQL."""
    database_timeout_seconds: float = Field(default=5.0, gt=0)
    """A statement of a request that takes longer is ended and answered 503."""
    redis_timeout_seconds: float = Field(default=2.0, gt=0)
    """Longest wait for one answer of Redis."""


class SubmissionSettings(SettingsBase):
    """From a request to its commit."""

    model_config = ConfigDict(title="Submission")

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


class DispatchSettings(SettingsBase):
    """From PostgreSQL to the broker."""

    model_config = ConfigDict(title="Dispatch")

    unclaimed_sendings: int = Field(default=3, ge=1, le=100)
    """A task that was sent so often in a row and that no worker began has failed an attempt."""
    window_initial: int = Field(default=200, ge=1)
    """Messages of a queue on the broker until its service rate is known."""
    window_seconds: float = Field(default=10.0, gt=0)
    """The window holds this much work, by the measured service rate."""
    window_max: int = Field(default=50_000, ge=1)
    """Largest window of a queue."""
    caller_weights: Annotated[dict[str, Annotated[float, Field(ge=LEAST_WEIGHT, le=MOST_WEIGHT)]], _JSON] = Field(
        default={}
    )
    """How many turns a caller whose key says nothing has in a queue where others have one, by name
    (``{"local": 2}``): 0.1 to 10.
    """
    dispatch_memory_percent: int = Field(default=70, ge=1, le=100)
    """Nothing is published while Redis uses more of its maxmemory."""
    dispatch_interval_seconds: float = Field(default=0.1, gt=0)
    """Pause between two passes of the dispatcher that found little."""
    outbox_age_seconds: float = Field(default=3.0, gt=0)
    """An outbox row older than this was left behind: its tasks are sent again."""


class RecordSettings(SettingsBase):
    """What the loops wait for, and what they keep."""

    model_config = ConfigDict(title="Record and reconcile")

    record_events: int = Field(default=500, ge=1, le=10_000)
    """Most events in one transaction of the recorder."""
    record_wait_seconds: float = Field(default=0.5, ge=0.001, le=1)
    """Longest wait of the recorder for the next event before it looks after its lead."""
    leader_seconds: float = Field(default=5.0, gt=0)
    """A leader that is frozen or cut off is replaced after so long; one that died, at once."""
    due_interval_seconds: float = Field(default=0.25, gt=0)
    """Pause between two looks for tasks whose time has come."""
    sweep_interval_seconds: float = Field(default=1.0, gt=0)
    """Pause between two passes of a sweep that found little."""
    census_seconds: float = Field(default=4.0, gt=0)
    """How long a new epoch waits for living workers to say what they run."""
    cancel_grace_seconds: float = Field(default=10.0, ge=0, le=86_400)
    """A running task that is cancelled and does not end is killed after so long; the request may say otherwise."""
    worker_dead_seconds: float = Field(default=10.0, gt=0)
    """A worker whose beat counter stands still so long is dead."""
    prediction_samples_a_second: int = Field(default=1, ge=0, le=1000)
    """Of so many tasks a queue and second it is kept for a week what they were expected to wait, and how long they did;
    0: of none, and predictions do not get better."""
    retention_days: float = Field(default=30.0, ge=1, le=36_500)
    """Finished tasks are removed so long after they ended, with their attempts. Counters stay."""
    audit_days: float = Field(default=366.0, ge=7, le=36_500)
    """Who did what is kept for so long."""
    run_log_days: float = Field(default=30.0, gt=0, le=36_500)
    """What runs write is removed after so long, and with its task at the latest."""
    history_minute_days: float = Field(default=3.0, ge=1, le=36_500)
    """What was seen of queues and workers is kept by minute for so long."""
    history_hour_days: float = Field(default=92.0, ge=1, le=36_500)
    """So long by hour."""
    history_day_days: float = Field(default=1100.0, ge=1, le=36_500)
    """So long by day."""
    metrics_minute_days: float = Field(default=32.0, ge=2, le=36_500)
    """So long TaskMetrics are kept by minute. A window that begins earlier is told by hours."""
    metrics_hour_days: float = Field(default=400.0, ge=2, le=36_500)
    """So long TaskMetrics are kept by hour. A window that begins earlier is told by days."""
    metrics_day_days: float = Field(default=3_660.0, ge=2, le=36_500)
    """So long TaskMetrics are kept by day. Sums over everything, as Prometheus reads them, stay."""
    metrics_names_a_day: int = Field(default=100, ge=1, le=10_000)
    """So many callers, types of errors and worker pools each have figures of their own in a day; others share one."""

    @model_validator(mode="after")
    def _coarser_is_kept_longer(self) -> Self:
        if not self.metrics_minute_days <= self.metrics_hour_days <= self.metrics_day_days:
            raise ValueError("metrics_minute_days, metrics_hour_days and metrics_day_days must rise in this order")
        return self


class AlertSettings(SettingsBase):
    """What is an alert, and who is told."""

    model_config = ConfigDict(title="Alerts")

    alert_channels: Annotated[tuple[AlertChannel, ...], _JSON, AfterValidator(unlike_names)] = ()
    """Where messages about alerts go: webhooks and mailboxes. Without one, alerts are listed and logged."""
    alert_interval_seconds: float = Field(default=2.0, gt=0, le=60)
    """Pause between two looks for alerts."""
    alert_base_url: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+$")
    """Where people reach the API, for links in messages. Unset: links are paths."""
    alert_repeat_seconds: float = Field(default=4 * 3600.0, ge=60)
    """An open alert that nobody acknowledged is told again after so long."""
    alert_give_up_seconds: float = Field(default=86_400.0, gt=0)
    """A message that could not be delivered for so long is given up."""
    alert_allow_http: bool = False
    """Let webhooks of alerts have http URLs."""
    alert_allow_private_targets: Annotated[tuple[str, ...], BeforeValidator(allowed_networks)] = ()
    """Networks that webhooks of alerts may reach though they are not public, such as ``10.0.0.0/8``; ``true`` stands
    for all. Link-local addresses and the metadata of clouds must be named for themselves."""
    alert_breaker_open_seconds: float = Field(default=900.0, gt=0)
    """A circuit breaker that has not closed for so long is another, more severe alert."""
    alert_sla_objective: float = Field(default=0.99, gt=0, lt=1)
    """The share of starts that should be within a queue's target; what is missing to 1 is the error budget."""
    alert_dead_letters: int = Field(default=20, ge=1)
    """So many tasks of one type that fail for good within a quarter of an hour are an alert."""
    alert_role_missing_seconds: float = Field(default=10.0, gt=0)
    """A dispatcher, recorder or reconciler that is missing for so long is an alert, and so is a queue with tasks and no
    worker. Keep it longer than a restart takes."""
    alert_recorder_lag_seconds: float = Field(default=30.0, gt=0)
    """An event not recorded for so long is an alert."""
    alert_dispatcher_lag_seconds: float = Field(default=30.0, gt=0)
    """A due task not sent for so long, while its queue has room on the broker, is an alert."""
    alert_memory_percent: int = Field(default=60, ge=1, le=100)
    """Redis using more of its maxmemory is an alert."""
    alert_stream_entries: int = Field(default=100_000, ge=1)
    """So many events waiting to be recorded are an alert. At ``gate_stream_entries`` nothing starts."""

    @model_validator(mode="after")
    def _webhooks_are_https(self) -> Self:
        for channel in self.alert_channels:
            if channel.kind == "webhook" and not self.alert_allow_http and not channel.is_https:
                raise ValueError(f"alert_channels: {channel.name}: its url must be https (alert_allow_http lifts this)")
        return self
