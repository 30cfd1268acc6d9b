"""Make, rotate and revoke keys of callers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pointsman_service.access.key import KEY_NAME, LINKS, Key, key_of
from pointsman_service.access.scopes import ALL, PRESETS, KeyScope, scopes_of
from pointsman_service.access.token import digest_of, new_token, shown
from pointsman_service.callers import OIDC_PREFIX, WITHOUT_KEY, Caller, KnownBy
from pointsman_service.errors import GrantsMore, KeyNameTaken, KeyNotLive, KeyRevoked, NoSuchKey
from pointsman_service.limits import Rate, rate_of, texts_of
from pointsman_service.operate.act import Act, ActKind, acting
from pointsman_service.store import api_keys, clock
from pointsman_service.store.api_keys import KeyRow, NewKey
from pointsman_service.store.store import Connection, Store

_SAID = ("preset", "scopes", "task_types", "queues", "rate", "burst", "quota", "weight")


@dataclass(frozen=True, slots=True)
class WantedKey:
    """What a key is to be."""

    name: str
    preset: str | None = None
    scopes: Sequence[str] = ()
    task_types: Sequence[str] | None = None
    queues: Sequence[str] | None = None
    expires_seconds: float | None = None
    rate: str | None = None
    """How fast its caller may submit, as ``100/60s``; None: as the settings say for all."""
    burst: int | None = None
    quota: int | None = None
    """How many of its tasks may wait; None: as the settings say for all."""
    weight: float | None = None
    """How many turns its caller has in a queue where others have one; None: as the settings say."""


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key that was made, and what nobody can read again."""

    key: Key
    token: str


class KeyHand:
    """Handles keys for one process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, caller: Caller, wanted: WantedKey, reason: str | None, token: str | None = None) -> MadeKey:
        """A key; ``token``: the one that it is to be. Raises ``KeyNameTaken``, and ``GrantsMore`` where it may more
        than its maker, or would last longer.
        """
        _check_grant(caller, scopes_of(wanted.preset, wanted.scopes), wanted.task_types, wanted.queues)
        act = Act(ActKind.CREATE_KEY, caller, wanted.name, reason)
        async with acting(self._store, act) as connection:
            await _check_lasts(connection, caller, wanted.expires_seconds)
            act.was(None, _rights(wanted))
            return await _make(connection, api_keys.new_id(), wanted, act.actor, token=token)

    async def rotate(
        self, caller: Caller, key_id: UUID, overlap_seconds: float, expires_seconds: float | None, reason: str | None
    ) -> MadeKey:
        """Another key in the place of this one, which ends after the overlap. It lasts as long as this one was to, or
        ``expires_seconds``. Raises ``NoSuchKey``, ``GrantsMore``, and ``KeyNotLive`` for one that is revoked or
        replaced.
        """
        act = Act(ActKind.ROTATE_KEY, caller, str(key_id), reason)
        async with acting(self._store, act) as connection:
            row = await _found(connection, key_id)
            if row.name == LINKS:
                # Who was shown its text could sign links with it.
                raise KeyNotLive("Links are signed with this key: revoke it, and the next link makes another one.")
            _check_grant(caller, scopes_of(row.preset, row.scopes), row.task_types, row.queues)
            lasts = (row.expires_at - row.created_at).total_seconds() if row.expires_at is not None else None
            lasts = lasts if expires_seconds is None else expires_seconds
            await _check_lasts(connection, caller, lasts)
            made_id = api_keys.new_id()
            if not await api_keys.replace(connection, key_id, made_id, overlap_seconds):
                raise KeyNotLive
            wanted = WantedKey(
                name=row.name,
                preset=row.preset,
                scopes=row.scopes,
                task_types=row.task_types,
                queues=row.queues,
                rate=row.rate,
                burst=row.burst,
                quota=row.quota,
                weight=row.weight,
                expires_seconds=lasts,
            )
            act.was(1, 2 if overlap_seconds > 0 else 1, made=str(made_id), name=row.name)
            return await _make(connection, made_id, wanted, act.actor, replaces=key_id)

    async def limit(
        self,
        caller: Caller,
        key_id: UUID,
        rate: Rate | None,
        quota: int | None,
        weight: float | None,
        reason: str | None,
    ) -> Key:
        """The key, whose caller may submit as fast as this from now on, let so many tasks wait, and takes turns with
        this weight; None: as the settings say. Raises ``NoSuchKey``, and ``KeyNotLive`` for one that is revoked.
        """
        act = Act(ActKind.LIMIT_KEY, caller, str(key_id), reason)
        async with acting(self._store, act) as connection:
            row = await _found(connection, key_id)
            if row.revoked_at is not None:
                raise KeyNotLive
            after = texts_of(rate)
            act.was(_limits(row.rate, row.burst, row.quota, row.weight), _limits(*after, quota, weight), name=row.name)
            act.changed = await api_keys.limit(connection, key_id, *after, quota, weight)
            return key_of(await _found(connection, key_id), datetime.now(UTC))

    async def revoke(self, caller: Caller, key_id: UUID, reason: str | None) -> Key:
        """The key, which opens nothing more. Raises ``NoSuchKey``."""
        act = Act(ActKind.REVOKE_KEY, caller, str(key_id), reason)
        async with acting(self._store, act) as connection:
            row = await _found(connection, key_id)
            act.was(_rights(row), None, name=row.name)
            act.changed = await api_keys.revoke(connection, key_id, act.actor)
            return key_of(await _found(connection, key_id), datetime.now(UTC))


def wanted(
    name: str,
    preset: str | None,
    scopes: Sequence[str],
    task_types: Sequence[str],
    queues: Sequence[str],
    expires_seconds: float | None,
    rate: str | None = None,
    burst: int | None = None,
    quota: int | None = None,
    weight: float | None = None,
) -> WantedKey:
    """What a key is to be, from words that people gave. Raises ``ValueError`` in words."""
    if not re.fullmatch(KEY_NAME, name):
        raise ValueError(f"{name!r} is no name: up to 100 letters, digits and . _ @ : / -, the first a letter or digit")
    if preset is None and not scopes:
        raise ValueError("it takes a preset, or scopes")
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"there is no preset {preset}: {', '.join(PRESETS)}")
    unknown = sorted(set(scopes) - ALL)
    if unknown:
        raise ValueError(f"there is no scope {unknown[0]}: {', '.join(sorted(ALL))}")
    if expires_seconds is not None and expires_seconds <= 0:
        raise ValueError("it would expire at once")
    rate_of(rate, burst)
    narrowed = (list(task_types) or None, list(queues) or None)
    return WantedKey(name, preset, sorted({*scopes}), *narrowed, expires_seconds, rate, burst, quota, weight)


def _limits(rate: str | None, burst: int | None, quota: int | None, weight: float | None) -> dict[str, Any] | None:
    said = {"rate": rate, "burst": burst, "quota": quota, "weight": weight}
    return {name: value for name, value in said.items() if value is not None} or None


def _rights(key: WantedKey | KeyRow) -> dict[str, Any]:
    """What a key opens, as far as it was said."""
    return {name: value for name in _SAID if (value := getattr(key, name))}


async def _make(
    connection: Connection,
    key_id: UUID,
    wanted: WantedKey,
    actor: str,
    *,
    replaces: UUID | None = None,
    token: str | None = None,
) -> MadeKey:
    if wanted.name in WITHOUT_KEY:
        raise KeyNameTaken(f"Who calls without a key is named {wanted.name}: a key takes another name.")
    if wanted.name.startswith(OIDC_PREFIX):
        raise KeyNameTaken(f"Whom the OpenID Connect issuer knows is named {OIDC_PREFIX}…: a key takes another name.")
    token = token or new_token()
    first, last = shown(token)
    new = NewKey(
        digest=digest_of(token.encode()),
        first_shown=first,
        last_shown=last,
        name=wanted.name,
        preset=wanted.preset,
        scopes=list(wanted.scopes),
        task_types=None if wanted.task_types is None else list(wanted.task_types),
        queues=None if wanted.queues is None else list(wanted.queues),
        rate=wanted.rate,
        burst=wanted.burst,
        quota=wanted.quota,
        weight=wanted.weight,
        created_by=actor,
        expires_seconds=wanted.expires_seconds,
        replaces=replaces,
    )
    row = await api_keys.add(connection, key_id, new)
    if row is None:
        raise KeyNameTaken(f"A key has the name {wanted.name} already: rotate that one, or revoke it first.")
    return MadeKey(key_of(row, datetime.now(UTC)), token)


async def _found(connection: Connection, key_id: UUID) -> KeyRow:
    row = await api_keys.find(connection, key_id, lock=True)
    if row is None:
        raise NoSuchKey
    return row


def _check_grant(
    caller: Caller, scopes: frozenset[KeyScope], task_types: Sequence[str] | None, queues: Sequence[str] | None
) -> None:
    """Nobody gets a right by making a key. Raises ``GrantsMore``."""
    own = ALL if caller.scopes is None else caller.scopes
    more = sorted(scopes - own)
    if more:
        raise GrantsMore(f"The key would have rights that {caller.name} has not: {', '.join(more)}.")
    for what, mine, theirs in (("task types", caller.task_types, task_types), ("queues", caller.queues, queues)):
        if mine is not None and (theirs is None or not mine.issuperset(theirs)):
            raise GrantsMore(f"The key would reach {what} that {caller.name} does not.")


async def _check_lasts(connection: Connection, caller: Caller, seconds: float | None) -> None:
    """Nobody lasts longer by making a key, and one that was revoked a moment ago makes none. Whom the issuer knows
    has nothing that ends but a token, which says who they are and not for how long they may. Raises ``GrantsMore`` and
    ``KeyRevoked``.
    """
    if caller.known_by is not KnownBy.KEY or caller.key_id is None:
        return
    own = await api_keys.find(connection, caller.key_id)
    if own is None or own.revoked_at is not None:
        raise KeyRevoked
    if own.expires_at is None:
        return
    left = own.expires_at.timestamp() - await clock.now(connection)
    if seconds is None or seconds > left:
        raise GrantsMore(
            f"The key would last longer than that of {caller.name}, which expires in {max(0.0, left):,.0f} s: let it"
            " expire before (expires_in_seconds), or make it with a key that lasts, or on the machine of the API"
            " (python -m pointsman_service keys)."
        )
