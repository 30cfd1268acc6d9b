"""The sweep ``retention``: what ended long ago goes, and the counters stay, from minutes to hours to days."""

from collections.abc import Sequence
from datetime import date, datetime

from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store import api_keys, audit
from pointsman_service.store.metrics import history
from pointsman_service.store.metrics.forgetting import KeepFor, forget
from pointsman_service.store.store import LockNotGot, Store
from pointsman_service.store.upkeep import retention
from pointsman_service.telemetry import logger

log = logger(__name__)

_INTERVAL_SECONDS = 300.0
_ROWS_A_PASS = 2000


class RetentionSweep:
    """Safe in every process: a pass holds an advisory lock while it drops a day."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._days = settings.retention_days
        self._audit_days = settings.audit_days
        self._run_log_days = min(settings.run_log_days, settings.retention_days)
        kept = (settings.history_minute_days, settings.history_hour_days, settings.history_day_days)
        self._kept = dict(zip(history.STEPS, kept, strict=True))
        self._keep_for = KeepFor(settings.metrics_minute_days, settings.metrics_hour_days, settings.metrics_day_days)
        self.loop = Loop("retention sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Drop at most one day and delete up to 2,000 rows of each kind; True when there may be more."""
        async with self._store.statement() as connection:
            before = await retention.cutoff(connection, self._days)
            days = await retention.old_days(connection, before)
        dropped = await self._drop_first(days, before)
        async with self._store.statement() as connection:
            deleted = await retention.delete_left_over(connection, before, _ROWS_A_PASS)
            deleted = max(deleted, await retention.delete_run_logs(connection, self._run_log_days, _ROWS_A_PASS))
            deleted = max(deleted, await api_keys.forget_sessions(connection, _ROWS_A_PASS))
            for step, kept in self._kept.items():
                deleted = max(deleted, await history.forget(connection, step, kept, _ROWS_A_PASS))
        async with self._store.transaction() as connection:
            acts_before = await retention.cutoff(connection, self._audit_days)
            deleted = max(deleted, await audit.leave(connection, acts_before, _ROWS_A_PASS))
        async with self._store.transaction() as connection:
            forgotten = await forget(connection, self._keep_for, _ROWS_A_PASS)
        return dropped or deleted >= _ROWS_A_PASS or forgotten >= _ROWS_A_PASS

    async def _drop_first(self, days: Sequence[date], before: datetime) -> bool:
        """Drop the first of these days that can be dropped now: whether there was one."""
        for day in days:
            try:
                async with self._store.transaction() as connection:
                    dropped = await retention.drop_day(connection, day, before)
            except LockNotGot as error:
                log.info("a day of finished tasks is in use and is dropped later", day=str(day), reason=str(error))
                return False
            if dropped is not None:
                log.info("a day of finished tasks was dropped", partition=dropped.name, kept=dropped.kept)
                return True
        return False
