"""``python -m pointsman_service keys``: make, list, rotate and revoke keys, without an API."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import typer

from pointsman_service.access import key_file
from pointsman_service.access.key import Key, KeyState, state_of
from pointsman_service.access.reading import KeyReader
from pointsman_service.access.scopes import PRESETS
from pointsman_service.access.token import digest_of
from pointsman_service.callers import CONSOLE
from pointsman_service.database import create_engine
from pointsman_service.errors import NoSuchKey, ServiceError
from pointsman_service.limits import Rate
from pointsman_service.operate.handle_keys import KeyHand, MadeKey, WantedKey, wanted
from pointsman_service.operate.sign_in import SessionHand
from pointsman_service.settings import Settings
from pointsman_service.store import api_keys
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_PAGE = 200


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Store]:
    store = Store(create_engine(settings, "pointsman keys"))
    try:
        yield store
    finally:
        await store.close()


async def create(settings: Settings, wanted: WantedKey, reason: str | None, token: str | None = None) -> MadeKey:
    """A key. Raises ``KeyNameTaken`` and the store's errors."""
    async with _opened(settings) as store:
        return await KeyHand(store).create(CONSOLE, wanted, reason, token)


async def rotate(
    settings: Settings, named: str, overlap_seconds: float, expires_seconds: float | None, reason: str | None
) -> MadeKey:
    """Another key in the place of one. Raises ``NoSuchKey``, ``KeyNotLive`` and the store's errors."""
    async with _opened(settings) as store:
        key_id = await _id_of(store, named)
        return await KeyHand(store).rotate(CONSOLE, key_id, overlap_seconds, expires_seconds, reason)


async def limit(
    settings: Settings, named: str, rate: Rate | None, quota: int | None, weight: float | None, reason: str | None
) -> Key:
    """The key, whose caller may submit so. Raises ``NoSuchKey``, ``KeyNotLive`` and the store's errors."""
    async with _opened(settings) as store:
        return await KeyHand(store).limit(CONSOLE, await _id_of(store, named), rate, quota, weight, reason)


async def revoke(settings: Settings, named: str, reason: str | None) -> tuple[Key, list[Key]]:
    """The key, which opens nothing more; and those of its name that still open what they did, as during the overlap of
    a rotation. Raises ``NoSuchKey`` and the store's errors.
    """
    async with _opened(settings) as store:
        key = await KeyHand(store).revoke(CONSOLE, await _id_of(store, named), reason)
        left = [one async for one in _each(store) if one.name == key.name and one.state is KeyState.ACTIVE]
    return key, left


async def sign_out(settings: Settings, name: str) -> int:
    """Nobody of this name is signed in to the dashboard any more; how many sessions that ended. Raises the store's
    errors.
    """
    async with _opened(settings) as store:
        return await SessionHand(store, settings.session_seconds).end_all(CONSOLE, name)


async def every(settings: Settings) -> list[Key]:
    """All keys, the newest first."""
    async with _opened(settings) as store:
        return [key async for key in _each(store)]


async def _each(store: Store) -> AsyncIterator[Key]:
    reader = KeyReader(store)
    page = await reader.page(limit=_PAGE)
    while True:
        for key in page.items:
            yield key
        if page.following is None:
            return
        page = await reader.page(below=page.following, limit=_PAGE)


async def _id_of(store: Store, named: str) -> UUID:
    """By the id of a key, or by the name of the one that is in use."""
    try:
        return UUID(named)
    except ValueError:
        async with store.statement() as connection:
            row = await api_keys.find_by_name(connection, named)
        if row is None:
            raise NoSuchKey(f"No key that is in use has the name {named}.") from None
        return row.id


def provided(text: str) -> tuple[WantedKey, str]:
    """A key in a file, from ``NAME=WHAT@FILE``. Raises ``ValueError`` in words, which never show the file's content."""
    name, _, rest = text.partition("=")
    what, _, path = rest.rpartition("@")
    if not name or not what or not path:
        raise ValueError(f"{text!r} is not NAME=WHAT@FILE")
    words = [word.strip() for word in what.split(",")]
    presets = [word for word in words if word in PRESETS]
    if len(presets) > 1:
        raise ValueError(f"{text!r} names more than one preset")
    scopes = [word for word in words if word not in PRESETS]
    return wanted(name, presets[0] if presets else None, scopes, (), (), None), key_file.read(Path(path))


async def provide(settings: Settings, given: Sequence[tuple[WantedKey, str]]) -> list[str]:
    """Let these keys open what is wanted; a line of what became of each. Raises ``KeyNameTaken`` and the store's
    errors.
    """
    lines = []
    async with _opened(settings) as store:
        for one, token in given:
            async with store.statement() as connection:
                there = await api_keys.find_by_digest(connection, digest_of(token.encode()))
            if there is not None:
                lines.append(f"{one.name}: is there, {state_of(there, datetime.now(UTC))}")
                continue
            await KeyHand(store).create(CONSOLE, one, "provided in a file", token)
            lines.append(f"{one.name}: made")
    return lines


async def first(settings: Settings, path: Path) -> str:
    """Where there is no key of an admin, one in this file; what became of it. Raises ``ValueError`` in words,
    ``KeyNameTaken`` and the store's errors.
    """
    async with _opened(settings) as store:
        async with store.statement() as connection:
            if await api_keys.admins(connection):
                return "there is a key of an admin"
            token = key_file.draw(path)
            if await api_keys.find_by_digest(connection, digest_of(token.encode())) is not None:
                # It opens nothing more.
                token = key_file.draw_another(path)
        admin = wanted("admin", "admin", (), (), (), None)
        await KeyHand(store).create(CONSOLE, admin, "the first", token)
    return f"the first key of an admin is in {path}"


async def lacks_admin(settings: Settings) -> bool:
    """Whether there is surely no key that makes others: False where PostgreSQL cannot be asked."""
    try:
        async with _opened(settings) as store, store.statement() as connection:
            return await api_keys.admins(connection) == 0
    except ServiceError as error:
        log.warning("it is not known whether there is a key of an admin", reason=f"{type(error).__name__}: {error}")
        return False


def show_made(made: MadeKey, *, as_json: bool) -> None:
    """The key on standard output, alone in its line, and what it is on standard error."""
    if as_json:
        typer.echo(json.dumps(_plain(made.key) | {"key": made.token}, indent=2))
        return
    typer.echo(made.token)
    typer.echo(f"{_line(made.key)}\nThis is the only time that it is shown.", err=True)


def show_list(keys: list[Key], *, as_json: bool) -> None:
    """A line for each."""
    if as_json:
        typer.echo(json.dumps([_plain(key) for key in keys], indent=2))
        return
    for key in keys:
        typer.echo(_line(key))
    if not keys:
        typer.echo("There is no key.", err=True)


def show_one(key: Key, *, as_json: bool) -> None:
    """One."""
    typer.echo(json.dumps(_plain(key), indent=2) if as_json else _line(key))


def show_revoked(key: Key, left: list[Key], *, as_json: bool) -> None:
    """The one, and on standard error those of its name that still open something: who revokes by name may mean all."""
    show_one(key, as_json=as_json)
    for other in left:
        typer.echo(f"Another key of {key.name} still opens what it did; revoke it by its id:\n{_line(other)}", err=True)


def _line(key: Key) -> str:
    narrowed = [
        f"{what} {', '.join(names)}"
        for what, names in (("only", key.task_types), ("on", key.queues))
        if names is not None
    ]
    ends = (
        [f"until {key.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"]
        if key.expires_at and key.state is not KeyState.REVOKED
        else []
    )
    used = f"used {key.last_used_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if key.last_used_at else "never used"
    may = key.preset or ", ".join(key.scopes)
    rate = [f"{key.rate}" if key.burst is None else f"{key.rate}, {key.burst} at once"] if key.rate else []
    quota = [f"{key.quota} may wait"] if key.quota else []
    weight = [f"weight {key.weight:g}"] if key.weight else []
    said = [*narrowed, *rate, *quota, *weight, *ends]
    return "  ".join([str(key.id), key.hint, key.name, str(key.state), may, *said, used])


def _plain(key: Key) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "name": key.name,
        "state": str(key.state),
        "preset": key.preset,
        "scopes": list(key.scopes),
        "task_types": None if key.task_types is None else list(key.task_types),
        "queues": None if key.queues is None else list(key.queues),
        "rate": key.rate,
        "burst": key.burst,
        "quota": key.quota,
        "weight": key.weight,
        "hint": key.hint,
        "created_at": key.created_at.isoformat(),
        "created_by": key.created_by,
        "expires_at": _moment(key.expires_at),
        "revoked_at": _moment(key.revoked_at),
        "revoked_by": key.revoked_by,
        "replaces": None if key.replaces is None else str(key.replaces),
        "replaced_by": None if key.replaced_by is None else str(key.replaced_by),
        "last_used_at": _moment(key.last_used_at),
    }


def _moment(at: Any) -> str | None:
    return None if at is None else str(at.isoformat())
