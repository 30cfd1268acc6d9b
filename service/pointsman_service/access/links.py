"""Signed links: whoever has one reads one task, until it ends.

Nothing is kept of a link: it says itself what it opens, and is signed with a secret of the key ``_links``, which stands
among the keys of callers, opens nothing itself, and is made with the first link. Revoking it ends every link.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pointsman_service.access.key import LINKS
from pointsman_service.access.rights import operations_of
from pointsman_service.access.ring import KeyRing
from pointsman_service.access.scopes import KeyScope
from pointsman_service.callers import Caller, KnownBy
from pointsman_service.errors import DatabaseAway, LinkExpired, LinkUnknown

PARAMETER: Final = "sig"
"""Of the query. What traces requests by the rules of OpenTelemetry masks a parameter of this name."""
OPENS: Final = frozenset({"get_task", "stream_task"})
LONGEST: Final = 200
"""Characters of one, and more."""
_HEAD: Final = struct.Struct(">BBQ16s")
_VERSION: Final = 1
_PAYLOADS: Final = 1
_NOBODY: Final = UUID(int=0)
_MAC_BYTES: Final = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says."""

    task_id: UUID
    expires_at: int
    """Unix seconds."""
    payloads: bool
    maker: UUID | None
    """The key that it was made with, and ends with; None: none was shown."""


def signed(link: Link, secret: bytes) -> str:
    """The link as text, which says nothing of what it opens but to who knows the secret."""
    head = _HEAD.pack(_VERSION, _PAYLOADS if link.payloads else 0, link.expires_at, (link.maker or _NOBODY).bytes)
    return base64.urlsafe_b64encode(head + _mac(link.task_id, head, secret)).rstrip(b"=").decode()


def read(text: str, task_id: UUID, secret: bytes) -> Link | None:
    """The link of this task; None: it was not signed with this secret for this task."""
    try:
        given = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if base64.urlsafe_b64encode(given).rstrip(b"=").decode() != text:
        # Its last character may be another one, of which the bits beyond the last byte differ.
        return None
    head, mac = given[: _HEAD.size], given[_HEAD.size :]
    if len(mac) != _MAC_BYTES or not hmac.compare_digest(mac, _mac(task_id, head, secret)):
        return None
    version, flags, expires_at, maker = _HEAD.unpack(head)
    if version != _VERSION:
        return None
    return Link(task_id, expires_at, bool(flags & _PAYLOADS), None if maker == _NOBODY.bytes else UUID(bytes=maker))


def opened(ring: KeyRing, task_id: UUID, text: str, now: float) -> tuple[Link, Caller]:
    """The link, and who comes with it: sees this task, and no more of it than whoever made it may see now.

    Raises ``LinkUnknown``, ``LinkExpired``, and ``DatabaseAway`` while no key is known.
    """
    if not ring.is_known:
        raise DatabaseAway("Nobody can tell what this link opens: the database has not answered yet. Try again.")
    link = None if ring.links is None else read(text, task_id, ring.links)
    if link is None:
        raise LinkUnknown
    if link.expires_at <= now:
        raise LinkExpired
    scopes = {KeyScope.TASKS_READ} | ({KeyScope.PAYLOAD_READ} if link.payloads else set())
    task_types = queues = None
    if link.maker is not None:
        maker = ring.holder(link.maker)
        if maker is None:
            raise LinkExpired("The key that this link was made with opens nothing more.")
        scopes = {one for one in scopes if maker.scopes is None or one in maker.scopes}
        task_types, queues = maker.task_types, maker.queues
    return link, Caller(
        name=LINKS,
        known_by=KnownBy.LINK,
        acts=operations_of(frozenset(scopes)) & OPENS,
        reads_payloads=KeyScope.PAYLOAD_READ in scopes,
        scopes=frozenset(str(one) for one in scopes),
        task_types=task_types,
        queues=queues,
        task_id=task_id,
    )


def _mac(task_id: UUID, head: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, b"pointsman link\0" + task_id.bytes + head, "sha256")
