"""What is written into an outbox."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from pointsman_client.calling.batches import Item, items_of
from pointsman_client.calling.call import new_key
from pointsman_client.models import BatchItem

TAG = "outbox_key"
"""Every task of an outbox has its key as this tag."""
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Pending:
    """A submission that will be made once the transaction has committed. Its task has no id before that."""

    key: str
    """Its ``Idempotency-Key``; by it the outbox knows it, and its task."""
    task_type: str

    @property
    def tag(self) -> str:
        """Finds the task as long as Pointsman keeps it: ``client.tasks.list(tag=[pending.tag])``."""
        return f"{TAG}:{self.key}"


def entry_of(task_type: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Item:
    """The submission as it is sent, each time with the same bytes: ``delay_seconds`` counts from now, not from when it
    is relayed. Raises ``TypeError`` and ``ValueError`` for what no submission can say, so that the transaction ends
    and not the relay.
    """
    said = dict(options)
    key = said.setdefault("idempotency_key", new_key())
    if not 1 <= len(key) <= _LONGEST or not key.isprintable() or not key.strip(' "'):
        raise ValueError(f"idempotency_key must be 1 to {_LONGEST} printable characters")
    if not 1 <= len(task_type) <= _LONGEST:
        raise ValueError("task_type must be the name of one")
    tags = dict(said.get("tags") or {})
    if TAG in tags:
        raise ValueError(f"the tag {TAG} is that of the outbox")
    if "delay_seconds" in said:
        if "scheduled_at" in said:
            raise ValueError("give either scheduled_at or delay_seconds")
        said["scheduled_at"] = datetime.now(UTC) + timedelta(seconds=said.pop("delay_seconds"))
    fields = {"task_type": task_type, "args": list(args) or None, "kwargs": dict(kwargs) or None}
    (item,) = items_of([cast(BatchItem, fields | said | {"tags": tags | {TAG: key}})], {})
    return item
