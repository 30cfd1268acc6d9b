"""A base for each kind of work: its queue, its time limits, its retry policy.

A task takes one with ``@task(base=EmailTask)`` and overrides any of it with Celery's own option names. Delays before a
retry are drawn from zero to the backoff, which doubles from ``retry_backoff`` to ``retry_backoff_max`` seconds.
"""

from typing import TYPE_CHECKING, ClassVar

from pointsman.base import ManagedTask
from pointsman.extras import require

if TYPE_CHECKING:
    from pointsman.outbound.calls import Outbound


class CriticalTask(ManagedTask):
    """Work that cannot wait: the ``critical`` queue, 30 s, and three quick retries."""

    abstract = True
    queue = "critical"
    time_limit = 30
    soft_time_limit = 25
    max_retries = 3
    retry_backoff: ClassVar[bool | int] = 1
    retry_backoff_max: ClassVar[int] = 5


class EmailTask(ManagedTask):
    """One message to one mail server: the ``email`` queue, 60 s, five retries over some minutes."""

    abstract = True
    queue = "email"
    time_limit = 60
    soft_time_limit = 50
    max_retries = 5
    retry_backoff: ClassVar[bool | int] = 5
    retry_backoff_max: ClassVar[int] = 300


class ReportTask(ManagedTask):
    """Long work that says how far it is: the ``reports`` queue, 30 minutes, two retries."""

    abstract = True
    queue = "reports"
    time_limit = 1800
    soft_time_limit = 1740
    max_retries = 2
    retry_backoff: ClassVar[bool | int] = 30
    retry_backoff_max: ClassVar[int] = 300


class ExternalAPITask(ManagedTask):
    """A call to somebody else's service: the ``external_api`` queue, 60 s, five retries that back off."""

    abstract = True
    queue = "external_api"
    time_limit = 60
    soft_time_limit = 50
    max_retries = 5
    retry_backoff: ClassVar[bool | int] = 2
    retry_backoff_max: ClassVar[int] = 120
    connect_seconds: ClassVar[float] = 5.0
    """Longest wait for a connection."""
    read_seconds: ClassVar[float] = 20.0
    """Longest wait for the next bytes of an answer."""

    @property
    def http(self) -> "Outbound":
        """Calls to other people's HTTP services, with the waits above: ``self.http.call("GET", url)``.

        Raises ``ExtraMissing`` where the extra ``http`` is not installed.
        """
        require("self.http", "http")
        # Here: a process that only sends tasks loads no HTTP client.
        from pointsman.outbound.calls import Outbound

        return Outbound(self, connect_seconds=self.connect_seconds, read_seconds=self.read_seconds)


class MaintenanceTask(ManagedTask):
    """Cleaning up behind everybody: the ``maintenance`` queue, 15 minutes, one retry after some minutes."""

    abstract = True
    queue = "maintenance"
    time_limit = 900
    soft_time_limit = 870
    max_retries = 1
    retry_backoff: ClassVar[bool | int] = 120
    retry_backoff_max: ClassVar[int] = 600
