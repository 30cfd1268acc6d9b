"""What a worker parent says of messages that no child of it claimed, and of what it was told to do with tasks."""

import logging
from uuid import UUID

from pointsman.connection import AWAY, RedisConnection
from pointsman.node.keeper import Keeper, Note
from pointsman.settings import Settings
from pointsman_contract.event_text import body_text
from pointsman_contract.events import EventKind, RevokedBody

logger = logging.getLogger(__name__)


class Voice:
    """Appends events from the event loop of the parent, on a connection of its own."""

    def __init__(self, settings: Settings, keeper: Keeper) -> None:
        self._redis = RedisConnection(settings)
        self._keeper = keeper

    def append(self, *notes: Note) -> None:
        """Return when they are in the stream; while Redis does not take them, they follow as soon as it does."""
        try:
            answers = self._redis.scripts("append", [note.call(self._redis.stamp) for note in notes])
            left = [note for note, answer in zip(notes, answers, strict=True) if answer[0] != "ok"]
        except AWAY as error:
            logger.debug("Redis does not answer: %s", error)
            self._redis.close()
            left = list(notes)
        for note in left:
            self._keeper.note(note)


def revoked(task: str, by: str, *, kill: bool) -> Note | None:
    """The request to cancel a task; None for what cannot be one of the control plane's."""
    try:
        known = str(UUID(task))
    except (ValueError, AttributeError, TypeError):
        return None
    body: RevokedBody = {"by": by, "kill": kill}
    return Note(EventKind.REVOKED, known, body_text(body))
