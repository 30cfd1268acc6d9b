"""The rows of an outbox, as a relay asks for them through Django."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections, connections, transaction
from django.db.models import Case, F, Q, When
from django.db.models.functions import Coalesce

from pointsman_client.outbox.django.models import OutboxRow
from pointsman_client.outbox.django.writing import stored
from pointsman_client.outbox.rows import RETRIED, DatabaseAway, Listed, Row, RowState, Values, picked

_WAITING, _SENT, _REFUSED = (state.value for state in (RowState.WAITING, RowState.SENT, RowState.REFUSED))


class DjangoRows:
    """Those of one database, by its alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    @property
    def _locks(self) -> bool:
        """Whether rows that others are about to claim can be passed over."""
        return bool(connections[self._using].features.has_select_for_update_skip_locked)

    @property
    def _all(self) -> Any:
        return OutboxRow.objects.using(self._using)

    def claim(self, token: str, most: int, now: datetime, until: datetime) -> list[Row]:
        """See ``Rows``. Where nothing is locked, whoever writes first has a row, and the other does without."""
        now, until = stored(now), stored(until)
        with self._connected():
            if not self._locks:
                found = self._due(most, now)
            with transaction.atomic(self._using):
                if self._locks:
                    found = self._due(most, now)
                if not found:
                    return []
                due = Q(next_at=None) | Q(next_at__lte=now)
                # In this order: MySQL sees what is set before.
                self._all.filter(due, id__in=found, state=_WAITING).update(
                    doubtful_since=Case(
                        When(claim=None, then=F("doubtful_since")), default=Coalesce("doubtful_since", "claimed_at")
                    ),
                    claim=token,
                    claimed_at=now,
                    next_at=until,
                )
            return [_row(one) for one in self._all.filter(id__in=found, claim=token).order_by("id")]

    def _due(self, most: int, now: datetime) -> list[int]:
        def ids(when: Q, *order: str) -> list[int]:
            asked = self._all.filter(when, state=_WAITING).order_by(*order, "id")
            asked = asked.select_for_update(skip_locked=True) if self._locks else asked
            return list(asked.values_list("id", flat=True)[:most])

        return picked(ids(Q(next_at__lte=now), "next_at"), ids(Q(next_at=None)), most)

    def settle(self, token: str, changed: Mapping[int, Values], gone: Sequence[int]) -> None:
        """See ``Rows``."""
        with self._connected(), transaction.atomic(self._using):
            if gone:
                self._all.filter(id__in=gone, claim=token).delete()
            for row, values in changed.items():
                self._all.filter(id=row, claim=token).update(**_stored(values))

    def sweep(self, now: datetime, most: int) -> int:
        """See ``Rows``."""
        with self._connected():
            is_over = self._all.filter(state=_SENT, next_at__lte=stored(now))
            found = list(is_over.values_list("id", flat=True)[:most])
            if found:
                is_over.filter(id__in=found).delete()
            return len(found)

    def refused(self, most: int) -> list[Listed]:
        """See ``Rows``."""
        with self._connected():
            return [_listed(one) for one in self._all.filter(state=_REFUSED).order_by("id")[:most]]

    def retry(self, ids: Sequence[int] | None) -> int:
        """See ``Rows``."""
        with self._connected():
            return int(self._asked(ids).update(**RETRIED))

    def drop(self, ids: Sequence[int] | None) -> int:
        """See ``Rows``."""
        with self._connected():
            return int(self._asked(ids).delete()[0])

    def _asked(self, ids: Sequence[int] | None) -> Any:
        refused = self._all.filter(state=_REFUSED)
        return refused if ids is None else refused.filter(id__in=ids)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        if not connections[self._using].in_atomic_block:
            close_old_connections()
        try:
            yield
        except (DatabaseError, InterfaceError) as error:
            raise DatabaseAway(str(error).strip()) from None


def _row(found: Any) -> Row:
    return Row(found.id, found.key, found.task_type, found.body.encode(), found.tries, _aware(found.doubtful_since))


def _listed(found: Any) -> Listed:
    problem = json.loads(found.problem) if found.problem else None
    return Listed(
        found.id, found.key, found.task_type, RowState(found.state), _aware(found.submitted_at) or found.submitted_at,
        found.tries, found.task_id, problem,
    )  # fmt: skip


def _stored(values: Values) -> Values:
    return {name: stored(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _aware(at: datetime | None) -> datetime | None:
    """A moment of a project that knows none but UTC."""
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
