"""The loop ``run logs``: what managed runs wrote goes from Redis beside their attempts.

It has a stream, a connection and a pace of its own, so that a run that writes much makes no outcome wait. An entry that
is written twice is there once, so it needs no position: entries leave the stream after their commit, and who dies in
between reads them again.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic_core import SchemaValidator, ValidationError, core_schema

from pointsman_contract import keys
from pointsman_contract.run_log import LINE_BYTES, LONGEST_LEVEL, LONGEST_LOGGER, LONGEST_RUN
from pointsman_contract.signing import ANYTHING, Forged, Purpose, Signer, Trust
from pointsman_contract.validation import first_fault
from pointsman_service.errors import ExpectedFault, ServiceError, Unavailable
from pointsman_service.loops import Loop
from pointsman_service.record.bodies import LARGEST_ATTEMPT
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import StatementRefused, Store
from pointsman_service.store.streams import left_out
from pointsman_service.store.streams.left_out import LeftOut, Reason
from pointsman_service.store.tasks import run_logs
from pointsman_service.store.tasks.run_logs import Lines
from pointsman_service.telemetry import logger

log = logger(__name__)

_ENTRIES_A_PASS = 200
_BYTES_A_PASS = 1024 * 1024
_LONGEST_ENTRY = 4 * LINE_BYTES
_REST_SECONDS = 0.1
"""After each pass: a megabyte in such a time is more than anybody reads."""
_MOST_LINES = 10_000
_LARGEST_NUMBER = 2**31 - 1 - _MOST_LINES
_LATEST = 253_402_300_799.0
"""The last second of the year 9999, which is as far as dates go."""

_LINE = core_schema.tuple_positional_schema(
    [
        core_schema.float_schema(ge=0.0, le=_LATEST, allow_inf_nan=False),
        core_schema.str_schema(max_length=LONGEST_LEVEL),
        core_schema.str_schema(max_length=LONGEST_LOGGER),
        core_schema.str_schema(max_length=_LONGEST_ENTRY),
    ]
)
_LINES = SchemaValidator(
    core_schema.list_schema(_LINE, max_length=_MOST_LINES), config=core_schema.CoreConfig(strict=True)
)


class UnreadableLines(ServiceError):
    """The entry is not one of ours."""


class RunLogRecorder:
    """Safe in every process: whoever writes has a lock, and what is written twice is there once."""

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        """``server``: a connection of its own, for it waits there."""
        self._store = store
        self._server = server
        self._wait_seconds = settings.record_wait_seconds
        self._last_id = "0-0"
        self.loop = Loop("run logs", self.single_pass, settings.dispatch_interval_seconds)

    async def single_pass(self) -> bool:
        """Keep what there is, at most a megabyte of it, or wait for some; True: look again at once."""
        tail = (_ENTRIES_A_PASS, _BYTES_A_PASS, _LONGEST_ENTRY)
        entries, too_long = await self._server.script("read_lines", [keys.CONTROL, keys.LINES], [], tail)
        if entries:
            if await self._keep(entries):
                self._last_id = entries[-1][0].decode()
            await asyncio.sleep(_REST_SECONDS)
            return True
        if too_long:
            stream_id = too_long.decode()
            await self._leave_out([LeftOut(Reason.TOO_LONG, stream_id, f"more than {_LONGEST_ENTRY} bytes")])
            await self._forget([stream_id])
            return True
        milliseconds = int(self._wait_seconds * 1000)
        await self._server.command(*("XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", keys.LINES, self._last_id))
        return True

    async def _keep(self, entries: Sequence[Any]) -> bool:
        """Whether they are kept, or left out, and have left the stream."""
        found, unreadable = [], []
        for entry in entries:
            try:
                found.append(parse(entry, self._server.trust))
            except Forged as fault:
                unreadable.append(LeftOut(Reason.FORGED, entry[0].decode(), str(fault)))
            except UnreadableLines as error:
                unreadable.append(LeftOut(Reason.UNREADABLE, entry[0].decode(), str(error)))
        try:
            async with self._store.transaction() as connection:
                if found and not await run_logs.add(connection, found):
                    return False
                await left_out.add(connection, keys.LINES, unreadable)
        except (ExpectedFault, Unavailable, StatementRefused):
            raise
        except Exception as error:
            # Of one of them: the others are to be kept.
            if len(entries) > 1:
                middle = len(entries) // 2
                return await self._keep(entries[:middle]) and await self._keep(entries[middle:])
            detail = f"{type(error).__name__}: {error}"[:300]
            await self._leave_out([LeftOut(Reason.REFUSED, entries[0][0].decode(), detail)])
        self._tell(unreadable)
        await self._forget([entry[0].decode() for entry in entries])
        return True

    async def _leave_out(self, entries: Sequence[LeftOut]) -> None:
        async with self._store.transaction() as connection:
            await left_out.add(connection, keys.LINES, entries)
        self._tell(entries)

    def _tell(self, entries: Sequence[LeftOut]) -> None:
        for last in entries[-1:]:
            log.error(
                "lines of runs were left out: they are not what a worker sends",
                entries=len(entries),
                stream_id=last.stream_id,
                reason=last.detail,
            )

    async def _forget(self, stream_ids: Sequence[str]) -> None:
        await self._server.command("XDEL", keys.LINES, *stream_ids)


def parse(entry: Any, trust: Trust = ANYTHING) -> Lines:
    """Lines from one entry of the stream. Raises ``UnreadableLines``, which names the field and no value, and
    ``Forged`` for what is to be signed and is not.
    """
    try:
        flat = entry[1]
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        if trust.requires and trust.signer is not None:
            _check(fields, trust.signer)
        task, run = fields[b"task"].decode(), fields[b"run"].decode()
        if str(UUID(task)) != task:
            raise ValueError("an id that is written otherwise")
        if not run.isascii() or not run.isalnum() or len(run) > LONGEST_RUN:
            raise ValueError("a run that is no word")
        attempt = _number(fields[b"attempt"], LARGEST_ATTEMPT, "an attempt")
        first = _number(fields[b"first"], _LARGEST_NUMBER, "a number of a line")
        count = _number(fields[b"count"], _MOST_LINES, "a count", least=0)
        is_last = {b"0": False, b"1": True}[fields[b"last"]]
        if len(_LINES.validate_json(fields[b"lines"])) != count:
            raise ValueError("another number of lines than it says")
        return Lines(task, attempt, run, first, count, is_last, fields[b"lines"].decode())
    except ValidationError as error:
        raise UnreadableLines(first_fault(error, "the lines")) from None
    except KeyError as error:
        raise UnreadableLines(f"no {error}"[:200]) from None
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise UnreadableLines(f"{type(error).__name__}: {error}"[:200]) from None


_SIGNED = (b"task", b"attempt", b"run", b"first", b"count", b"last", b"lines")


def _check(fields: dict[bytes, bytes], signer: Signer) -> None:
    signature = fields.get(b"signed")
    text = b"\0".join(fields[name] for name in _SIGNED)
    signer.check_signature(Purpose.LINES, text, None if signature is None else signature.decode(errors="replace"))


def _number(word: bytes, most: int, what: str, least: int = 1) -> int:
    if not word.isdigit() or len(word) > 10 or not least <= int(word) <= most:
        raise ValueError(f"{what} out of range")
    return int(word)
