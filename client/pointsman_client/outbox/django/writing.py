"""Rows as a project writes them."""

import json
from datetime import UTC, datetime

from django.conf import settings
from django.db import connections, router
from django.db.transaction import TransactionManagementError
from django.utils import timezone

from pointsman_client.calling.batches import Item
from pointsman_client.outbox.django.models import OutboxRow
from pointsman_client.outbox.entry import Pending
from pointsman_client.outbox.rows import RowState


def written(item: Item, using: str | None) -> Pending:
    """See ``Outbox.submit``."""
    using = using or router.db_for_write(OutboxRow)
    if not connections[using].in_atomic_block:
        raise TransactionManagementError("an outbox needs a transaction: call submit() within transaction.atomic()")
    OutboxRow.objects.using(using).create(
        key=item.key,
        task_type=item.task_type,
        # In letters that every database has: a migration says nothing of the alphabet of a table.
        body=json.dumps(json.loads(item.text), separators=(",", ":")),
        submitted_at=stored(datetime.now(UTC)),
        state=RowState.WAITING.value,
    )
    return Pending(item.key, item.task_type)


def found(key: str, using: str | None) -> OutboxRow | None:
    """See ``Outbox.find``."""
    using = using or router.db_for_write(OutboxRow)
    rows = OutboxRow.objects.using(using).filter(key=key).order_by("-id")
    # Some databases take keys for the same that differ in case.
    return next((row for row in rows if row.key == key), None)


def stored(at: datetime) -> datetime:
    """A moment as the project stores it."""
    return at if settings.USE_TZ else timezone.make_naive(at, UTC)
