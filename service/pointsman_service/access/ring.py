"""Who holds which key, in memory: a request is checked without asking anybody.

A change is told by PostgreSQL as it is committed (``LISTEN``), on the connection that this process keeps open anyway,
and read at once. Every ten seconds it is looked after all the same, and in the same statement whether what is told is
heard; while that is not so, every second.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from uuid import UUID

from pointsman_service.access.key import LINKS
from pointsman_service.access.rights import operations_of
from pointsman_service.access.scopes import KeyScope, scopes_of
from pointsman_service.access.token import digest_of, is_token
from pointsman_service.callers import Caller, KnownBy
from pointsman_service.errors import (
    DatabaseAway,
    KeyExpired,
    KeyRevoked,
    KeyUnknown,
    PointsmanError,
    ServiceError,
    Unauthorized,
)
from pointsman_service.limits import Rate, rate_of
from pointsman_service.loops import Loop
from pointsman_service.store import api_keys
from pointsman_service.store.api_keys import KeyRow
from pointsman_service.store.leadership import Presence
from pointsman_service.telemetry import logger

log = logger(__name__)

_LOOK_SECONDS = 10.0
_DEAF_SECONDS = 1.0
"""Between two looks while nobody is heard."""
_WAIT_SECONDS = 0.5
_USED_SECONDS = 60.0
_MOST_FRESH = 1_000
"""Callers that are known by their words at once."""
_LONGEST_FRESH = 64
"""Bytes of such words: a key and its scheme have 48."""


@dataclass(frozen=True, slots=True)
class _Held:
    """One key."""

    id: UUID
    digest: bytes
    caller: Caller
    expires_at: float | None
    """Unix seconds on the clock of the database."""
    revoked: bool
    session_of: UUID | None
    ends: asyncio.Event
    """Set when it opens no longer what it did."""


class KeyRing:
    """All keys, for one process. Its loop must run; until the first look nobody is let in."""

    def __init__(self, presence: Presence, clock: Callable[[], float] = time.monotonic) -> None:
        self._presence = presence
        self._clock = clock
        self._by_digest: dict[bytes, _Held] = {}
        self._by_id: dict[UUID, _Held] = {}
        self._links_id: UUID | None = None
        self._revision = -1
        """Of the newest change that was read; -1: nothing was."""
        self._ahead = 0.0
        """Seconds that the clock of the database is ahead of ours, as of the last look."""
        self._word = token_hex(8)
        self._heard = False
        self._rung = asyncio.Event()
        self._looked_at = self._wrote_at = float("-inf")
        self._turn = asyncio.Lock()
        self._used: dict[bytes, UUID] = {}
        """By digest."""
        self.fresh: dict[bytes, Caller] = {}
        """Who sent these words since ``_used`` was written, and would be let in again: by what ``remember`` was told.
        Empty after each change, so nobody is let in for longer than their key opens.
        """
        self.looks = 0
        """How often PostgreSQL was asked."""
        self.loop = Loop("keys", self.single_pass, 0.0)

    def caller(self, token: bytes) -> Caller:
        """Who holds this key. Raises ``KeyUnknown``, ``KeyExpired``, ``KeyRevoked``, and ``DatabaseAway`` while no key
        is known.
        """
        held = self._held(token)
        if held is None or held.session_of is not None:
            raise _unknown(token, is_known=self.is_known)
        self._check(held)
        return held.caller

    def remember(self, shown: bytes, caller: Caller) -> None:
        """Know these words at once from now on: they showed the key of ``caller``, who was let in.

        Words are compared by a dict, which looks at their hash first, so how long that takes tells nothing of others.
        """
        held = None if caller.key_id is None else self._by_id.get(caller.key_id)
        # What ends by the clock is looked at each time, and nobody fills the memory with spaces around a key.
        if held is None or held.caller is not caller or held.revoked or held.expires_at is not None:
            return
        if len(shown) > _LONGEST_FRESH:
            return
        if len(self.fresh) >= _MOST_FRESH:
            self.fresh.clear()
        self.fresh[shown] = caller

    def of_session(self, token: bytes) -> Caller | None:
        """Who signed in with the key that this session was begun with, or through the issuer; None: the session or the
        key is over.
        """
        held = self._held(token)
        parent = None if held is None or held.session_of is None else self._by_id.get(held.session_of)
        if held is None or parent is None:
            return None
        try:
            self._check(held)
            self._check(parent)
        except Unauthorized:
            return None
        return parent.caller

    def now(self) -> float:
        """Unix seconds on the clock of the database: should ours be set, that is seen with the next look."""
        return time.time() + self._ahead

    @property
    def is_known(self) -> bool:
        """Whether the keys were read."""
        return self._revision >= 0

    @property
    def links(self) -> bytes | None:
        """The secret that links are signed with; None: there is none, so no link opens anything."""
        held = None if self._links_id is None else self._by_id.get(self._links_id)
        return None if held is None or held.revoked else held.digest

    def holder(self, key_id: UUID) -> Caller | None:
        """Who holds the key with this id; None: it opens nothing."""
        held = self._by_id.get(key_id)
        return None if held is None or held.revoked or self._has_expired(held) else held.caller

    def _held(self, token: bytes) -> _Held | None:
        digest = digest_of(token)
        held = self._by_digest.get(digest)
        return held if held is not None and hmac.compare_digest(held.digest, digest) else None

    def _check(self, held: _Held) -> None:
        if held.revoked:
            raise KeyRevoked
        if held.expires_at is not None and self._has_expired(held):
            raise KeyExpired
        self._used[held.digest] = held.id

    async def until_it_ends(self, caller: Caller, session: bytes | None = None) -> None:
        """Return when this caller's key opens no longer what it did, or its session; without a key never."""
        if caller.key_id is None:
            await asyncio.Event().wait()
        held = [self._by_id.get(caller.key_id)] if caller.key_id is not None else []
        if session is not None:
            held.append(self._held(session))
        if held and held[0] is not None and held[0].caller is caller:
            await self._until_one_ends(held)

    async def until_link_ends(self, maker: UUID | None, expires_at: float) -> None:
        """Return when a link that was made with this key opens no longer what it did."""
        held = [self._by_id.get(one) for one in (self._links_id, maker) if one is not None]
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, expires_at - self.now())):
                await self._until_one_ends(held)

    async def _until_one_ends(self, held: Sequence[_Held | None]) -> None:
        ends = [one for one in held if one is not None and not one.revoked]
        if len(ends) < len(held):
            return
        last = min((one.expires_at for one in ends if one.expires_at is not None), default=None)
        waits = [asyncio.ensure_future(one.ends.wait()) for one in ends]
        try:
            timeout = None if last is None else max(0.0, last - self.now())
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    # What is known of them

    async def single_pass(self) -> bool:
        """Look where it is time, then wait for a change, up to half a second. Always True: it has waited itself."""
        now = self._clock()
        if self._rung.is_set() or now - self._looked_at >= (_LOOK_SECONDS if self._heard else _DEAF_SECONDS):
            await self.refresh()
        if self._used and now - self._wrote_at >= _USED_SECONDS:
            await self._write_used()
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._rung.wait()
        except TimeoutError:
            pass
        return True

    async def refresh(self) -> None:
        """Read what has changed. Raises the store's errors."""
        async with self._turn:
            self._rung.clear()
            self._heard = False
            self._looked_at = self._clock()
            async with self._presence.statement() as connection:
                await api_keys.listen(connection, self._hear)
                self.looks += 1
                found = await api_keys.changed(connection, self._revision, self._word)
            if found.newest < self._revision:
                # Another database than before, such as one that was put back.
                self._forget()
                return
            self._ahead = found.at.timestamp() - time.time()
            for row in found.rows:
                self._take(row)
            self._revision = found.newest
            self._drop_sessions()

    async def try_refresh(self) -> None:
        """``refresh``, where the database answers: its loop goes on trying."""
        try:
            await self.refresh()
        except ServiceError as error:
            log.warning("the keys cannot be read yet", reason=f"{type(error).__name__}: {error}")

    def _forget(self) -> None:
        self.fresh.clear()
        for held in self._by_id.values():
            held.ends.set()
        self._by_digest.clear()
        self._by_id.clear()
        self._revision = -1
        self._rung.set()

    def _take(self, row: KeyRow) -> None:
        self.fresh.clear()
        before = self._by_id.get(row.id)
        held = _Held(
            id=row.id,
            digest=bytes(row.digest),
            caller=caller_of(row),
            expires_at=None if row.expires_at is None else row.expires_at.timestamp(),
            revoked=row.revoked_at is not None,
            session_of=row.session_of,
            ends=asyncio.Event(),
        )
        self._by_digest[held.digest] = self._by_id[row.id] = held
        if row.name == LINKS and not held.revoked:
            self._links_id = row.id
        if before is not None:
            before.ends.set()

    def _has_expired(self, held: _Held) -> bool:
        return held.expires_at is not None and held.expires_at <= self.now()

    def _drop_sessions(self) -> None:
        """Forget those that are over."""
        for held in [one for one in self._by_id.values() if one.session_of is not None]:
            if held.revoked or self._has_expired(held):
                del self._by_id[held.id], self._by_digest[held.digest]

    def _hear(self, said: str) -> None:
        if said == self._word:
            self._heard = True
        elif not said:
            self._rung.set()

    async def _write_used(self) -> None:
        used, self._used = self._used, {}
        self.fresh.clear()
        self._wrote_at = self._clock()
        try:
            async with self._presence.statement() as connection:
                await api_keys.note_used(connection, sorted(used.values()))
        except BaseException:
            self._used = used | self._used
            raise


def _unknown(token: bytes, *, is_known: bool) -> PointsmanError:
    if not is_token(token):
        return KeyUnknown("This is no key: it has a typo, or is of something else.")
    if is_known:
        return KeyUnknown()
    return DatabaseAway("Nobody can tell who holds this key: the database has not answered yet. Try again.")


def caller_of(row: KeyRow) -> Caller:
    """Who holds a key."""
    scopes = scopes_of(row.preset, row.scopes)
    return Caller(
        name=row.name,
        known_by=KnownBy.OIDC if row.session_of == row.id else KnownBy.KEY,
        acts=operations_of(scopes),
        reads_payloads=KeyScope.PAYLOAD_READ in scopes,
        scopes=frozenset(str(scope) for scope in scopes),
        task_types=None if row.task_types is None else frozenset(row.task_types),
        queues=None if row.queues is None else frozenset(row.queues),
        key_id=row.id,
        rate=_rate_of(row),
        quota=row.quota,
    )


def _rate_of(row: KeyRow) -> Rate | None:
    """One that somebody wrote by hand, or a newer release, must not keep all other keys from being read."""
    try:
        return rate_of(row.rate, row.burst)
    except ValueError as why:
        log.error("the rate of a key cannot be read; that of the settings holds", key=row.name, reason=str(why))
        return None
