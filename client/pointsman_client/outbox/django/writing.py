"""Rows as a project writes them."""

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
        body=item.text.decode(),
        submitted_at=stored(datetime.now(UTC)),
        state=RowState.WAITING.value,
    )
    return Pending(item.key, item.task_type)


def found(key: str, using: str | None) -> OutboxRow | None:
    """See ``Outbox.find``."""
    using = using or router.db_for_write(OutboxRow)
    newest: OutboxRow | None = OutboxRow.objects.using(using).filter(key=key).order_by("-id").first()
    return newest


def stored(at: datetime) -> datetime:
    """A moment as the project stores it."""
    return at if settings.USE_TZ else timezone.make_naive(at, UTC)
