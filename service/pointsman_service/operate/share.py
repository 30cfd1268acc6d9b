"""Make a link that opens one task."""

from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_bytes
from uuid import UUID

from pointsman_service.access.checking import check_scope
from pointsman_service.access.key import LINKS
from pointsman_service.access.links import Link, signed
from pointsman_service.access.ring import KeyRing
from pointsman_service.access.scopes import KeyScope
from pointsman_service.callers import Caller, KnownBy
from pointsman_service.errors import FieldError, InvalidRequest, UnknownTask
from pointsman_service.operate.act import Act, ActKind, acting
from pointsman_service.store import api_keys
from pointsman_service.store.api_keys import NewKey
from pointsman_service.store.store import Connection, Store
from pointsman_service.store.tasks import reading

_SECRET_BYTES = 32
_MAKER = "pointsman"


@dataclass(frozen=True, slots=True)
class SharedLink:
    """A link that was made."""

    text: str
    """What it opens with: nobody can read it again."""
    expires_at: datetime
    payloads: bool


class Sharer:
    """Makes links for one process."""

    def __init__(self, store: Store, ring: KeyRing, most_seconds: float) -> None:
        """``most_seconds``: no link lasts longer."""
        self._store = store
        self._ring = ring
        self.most_seconds = most_seconds

    async def share(
        self, caller: Caller, task_id: UUID, seconds: float, reason: str | None, *, payloads: bool
    ) -> SharedLink:
        """A link that opens this task, and its payloads where ``payloads`` says so, for so long.

        Raises ``UnknownTask``, ``ScopeMissing`` where the caller may not see that, and ``InvalidRequest``.
        """
        check_scope(caller, KeyScope.TASKS_READ)
        if payloads:
            check_scope(caller, KeyScope.PAYLOAD_READ)
        if seconds > self.most_seconds:
            most = f"at most {self.most_seconds:g} s, which POINTSMAN_LINK_SECONDS says"
            raise InvalidRequest(errors=[FieldError(pointer="/expires_in_seconds", detail=most)])
        act = Act(ActKind.SHARE, caller, str(task_id), reason)
        async with acting(self._store, act) as connection:
            if await reading.kind_of(connection, task_id) is None:
                raise UnknownTask
            secret = await _secret(connection)
            act.was(None, {"payload": payloads, "seconds": seconds})
        link = Link(
            task_id=task_id,
            expires_at=int(self._ring.now() + seconds),
            payloads=payloads,
            maker=caller.key_id if caller.known_by is KnownBy.KEY else None,
        )
        if self._ring.links != secret:
            # It opens here at once.
            await self._ring.try_refresh()
        return SharedLink(signed(link, secret), datetime.fromtimestamp(link.expires_at, UTC), payloads)


async def _secret(connection: Connection) -> bytes:
    """What links are signed with now; made where there is none."""
    row = await api_keys.find_by_name(connection, LINKS)
    if row is None:
        new = NewKey(
            digest=token_bytes(_SECRET_BYTES),
            first_shown="",
            last_shown="",
            name=LINKS,
            preset=None,
            scopes=(),
            task_types=None,
            queues=None,
            created_by=_MAKER,
            expires_seconds=None,
        )
        # Where another process makes one at the same time, there is that one.
        row = await api_keys.add(connection, api_keys.new_id(), new) or await api_keys.find_by_name(connection, LINKS)
    assert row is not None
    return bytes(row.digest)
