"""All that is particular to Celery on Redis: the message as kombu would write it, the lists, their length.

Messages are Celery protocol 2 (https://docs.celeryq.dev/en/stable/internals/protocol.html) written straight to the
lists kombu reads; kombu's own publish blocks and costs about a millisecond a message. A test holds every field
against what the installed Celery and kombu produce.
"""

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from pointsman_contract import keys
from pointsman_contract.message import HEADER, VERSION, delivery_tag, sending_of
from pointsman_contract.queues import STEPS, UNACKED, UNACKED_INDEX, list_key, step_of
from pointsman_contract.signing import Purpose, Signer
from pointsman_service.errors import ExpectedFault
from pointsman_service.redis import BrokerAway, RedisServer, ScriptCall, Word

__all__ = ["Broker", "BrokerAway", "BrokerShut", "Depths", "Envelope", "QueueDepth", "encode"]


class BrokerShut(ExpectedFault):
    """Nothing may be published now: another epoch, a census, or memory is short."""


class Envelope(NamedTuple):
    """One sending of one task."""

    task_id: str
    task_type: str
    queue: str
    priority: int
    args: str
    """JSON array."""
    kwargs: str
    """JSON object."""
    timeout_seconds: float
    dispatch: int
    after: int
    max_attempts: int
    expires_at: float | None
    traceparent: str | None
    interruptions: int = 0
    """Attempts that ended with their worker: the budget does not count them."""
    dependencies: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """One queue on the broker."""

    messages: int
    """In its lists now."""
    published: int
    """Ever published by us."""
    limit: int | None
    """The dispatcher's window, None when it has not said."""
    waiting: bool
    """Whether due tasks wait in Postgres, which a new submission must not overtake."""
    paused: bool = False
    broken: bool = False
    """Whether one of its lists is none, but somebody's key of another type: nothing of it is sent."""
    shared: bool = False
    """Whether tasks of a caller with a key, or with a fairness key, ever waited there."""
    sole: tuple[str, str] | None = None
    """The caller and the fairness key of all that waits, where that is one share."""


class StatedWindow(NamedTuple):
    """What the dispatcher tells every API process of a queue."""

    limit: int | None
    """Most messages on the broker; None when it has not said."""
    waiting: bool
    shared: bool
    sole: tuple[str, str] | None
    """As ``QueueDepth`` has them."""


@dataclass(frozen=True, slots=True)
class Depths:
    """The broker at one moment."""

    epoch: int | None
    """None: nothing may be published."""
    memory_percent: int
    queues: dict[str, QueueDepth]
    broken: tuple[str, ...] = ()
    """Keys of Celery's names that are of another type: what they are for stands still until somebody renames them."""

    @property
    def stands_still(self) -> bool:
        """Whether one of them is what every queue needs."""
        return UNACKED in self.broken or UNACKED_INDEX in self.broken


_MESSAGES_LOOKED_AT = 20
"""Of a list whose next messages are plain Celery ones."""
_SAMPLED = 32
_HIDDEN = "(hidden)"
"""For tools that watch workers: what the arguments look like does not leave the service."""
_PAUSE = "pause:"
_EMBED = ',{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'


@lru_cache(maxsize=4096)
def _frame(task_type: str, queue: str, priority: int, timeout_seconds: float) -> tuple[str, str]:
    """The parts of a message that are the same for all tasks of a kind."""
    properties = (
        f'"reply_to":null,"delivery_mode":2,"delivery_info":{{"exchange":"","routing_key":{json.dumps(queue)}}},'
        f'"priority":{step_of(priority)},"body_encoding":"base64","delivery_tag":"'
    )
    headers = (
        f'"lang":"py","task":{json.dumps(task_type)},"shadow":null,"eta":null,"expires":null,"group":null,'
        f'"group_index":null,"timelimit":[{timeout_seconds!r},null],"parent_id":null,"argsrepr":"{_HIDDEN}",'
        f'"kwargsrepr":"{_HIDDEN}","origin":"pointsman","ignore_result":true,"replaced_task_nesting":0,"stamped_headers":null,'
        f'"stamps":{{}},"{HEADER}":{{"version":{VERSION},"epoch":'
    )
    return properties, headers


def encode(envelope: Envelope, epoch: int, signer: Signer | None = None, at: str = "") -> tuple[str, str]:
    """The message around its sequence number: what comes before it, and after it. ``at``: when it is signed, in seconds
    on the clock of Redis.
    """
    properties, headers = _frame(envelope.task_type, envelope.queue, envelope.priority, envelope.timeout_seconds)
    body = base64.b64encode(f"[{envelope.args},{envelope.kwargs}{_EMBED}".encode()).decode()
    task_id = envelope.task_id
    expires_at = "null" if envelope.expires_at is None else repr(envelope.expires_at)
    traceparent = "null" if envelope.traceparent is None else json.dumps(envelope.traceparent)
    # The number of the last attempt, so that a worker that does not know of interruptions keeps to it too.
    last_attempt = envelope.max_attempts + envelope.interruptions
    depends = f',"dependencies":{json.dumps(envelope.dependencies)}' if envelope.dependencies else ""
    # For the same tools; a worker counts by itself.
    retries = max(0, envelope.after - envelope.interruptions)
    interruptions = f',"interruptions":{envelope.interruptions}' if envelope.interruptions else ""
    head = (
        f'{{"body":"{body}","content-encoding":"utf-8","content-type":"application/json","properties":'
        f'{{"correlation_id":"{task_id}",{properties}{delivery_tag(task_id, envelope.dispatch)}"}},'
        f'"headers":{{"id":"{task_id}","root_id":"{task_id}","retries":{retries},{headers}{epoch},"dispatch":{envelope.dispatch},'
        f'"after":{envelope.after},"max_attempts":{last_attempt}{interruptions}{depends},"expires_at":{expires_at},'
        f'"traceparent":{traceparent},"sequence":'
    )
    if signer is None:
        return head, "}}}"
    managed = (
        f'{{"after": {envelope.after}{_spaced(depends)}, "dispatch": {envelope.dispatch}, "epoch": {epoch},'
        f' "expires_at": {expires_at}{_spaced(interruptions)}, "max_attempts": {last_attempt},'
        f' "traceparent": {traceparent}, "version": {VERSION}}}'
    )
    before, between, after = _signed_frame(envelope.task_type, envelope.timeout_seconds)
    told = f'{before}{task_id}{between}{retries}, "root_id": "{task_id}{after}'
    text = f'["{at}", {json.dumps(envelope.queue)}, "{body}", {told}, {managed}]'
    return head, f',"signed":"{at} {signer.sign(Purpose.MESSAGE, text.encode())}"}}}}}}'


def _spaced(member: str) -> str:
    """A member as ``json.dumps`` writes it behind another."""
    return member.replace(",", ", ", 1).replace('":', '": ', 1)


@lru_cache(maxsize=4096)
def _signed_frame(task_type: str, timeout_seconds: float) -> tuple[str, str, str]:
    """The headers as ``pointsman_contract.message.signed_text`` writes them: around id, retries and root id."""
    return (
        f'{{"argsrepr": "{_HIDDEN}", "eta": null, "expires": null, "group": null, "group_index": null, "id": "',
        (
            f'", "ignore_result": true, "kwargsrepr": "{_HIDDEN}", "lang": "py", "origin": "pointsman",'
            ' "parent_id": null, "replaced_task_nesting": 0, "retries": '
        ),
        (
            f'", "shadow": null, "stamped_headers": null, "stamps": {{}}, "task": {json.dumps(task_type)},'
            f' "timelimit": [{timeout_seconds!r}, null]}}'
        ),
    )


class Broker:
    """The Celery queues of one Redis server."""

    def __init__(self, server: RedisServer, queues: Sequence[str], memory_percent: int) -> None:
        self._server = server
        self._queues = tuple(queues)
        self._memory_percent = memory_percent
        lists = [list_key(queue, step) for queue in self._queues for step in STEPS]
        self._lists = lists
        self._depth_arguments: list[Word] = [len(self._queues), *self._queues, *lists]

    async def publish(self, envelopes: Sequence[Envelope], epoch: int, fronts: int = 0) -> list[int]:
        """Write all messages in one step and return their numbers on their lists. The first ``fronts`` of them are
        fetched before whatever is on their lists by now.

        Raises ``BrokerShut`` (nothing was written) or ``BrokerAway`` (it is not known whether it was).
        """
        tail: list[Word] = [self._memory_percent]
        signer = self._server.trust.signer
        at = "" if signer is None else f"{await self._server.now():.6f}"
        for envelope in envelopes:
            head, end = encode(envelope, epoch, signer, at)
            tail += (list_key(envelope.queue, step_of(envelope.priority)), head, end)
        if fronts:
            tail.append(fronts)
        answer = await self._server.script("publish", [keys.CONTROL, keys.SEQUENCE], [epoch], tail)
        if answer[0] != b"ok":
            raise BrokerShut(answer[1].decode())
        return list(answer[1:])

    async def depths(self) -> Depths:
        """How full every queue is. Raises ``BrokerAway``."""
        answer = await self._server.script(
            "depths",
            [keys.CONTROL, keys.SEQUENCE, keys.WINDOW, UNACKED, UNACKED_INDEX],
            [],
            self._depth_arguments,
        )
        queues = {}
        for index, queue in enumerate(self._queues):
            messages, published, window, pause = answer[3 + 4 * index : 7 + 4 * index]
            stated = _stated(window)
            paused = pause.endswith(b":1")
            queues[queue] = QueueDepth(
                max(messages, 0),
                published,
                stated.limit,
                stated.waiting,
                paused,
                messages < 0,
                stated.shared,
                stated.sole,
            )
        broken = tuple(sorted(key.decode(errors="replace") for key in answer[2]))
        return Depths(answer[0] if answer[0] >= 0 else None, answer[1], queues, broken)

    async def state_windows(self, windows: Mapping[str, StatedWindow]) -> None:
        """Tell every API process the window of each queue, and who waits behind it. Raises ``BrokerAway``."""
        words: list[str] = []
        for queue, window in windows.items():
            words += (queue, json.dumps(window._asdict()))
        await self._server.command("HSET", keys.WINDOW, *words)

    async def oldest(self) -> tuple[float, dict[tuple[str, int], float | None]]:
        """The broker's clock, and for each queue and step when its next message was published: now for an empty list,
        None for one whose next messages are not ours. Raises ``BrokerAway``.
        """
        answer = await self._server.script("oldest", [], [], [_MESSAGES_LOOKED_AT, *self._lists])
        now = float(answer[0])
        times = [None if found == b"?" else float(found or now) for found in answer[1:]]
        places = [(queue, step) for queue in self._queues for step in STEPS]
        return now, dict(zip(places, times, strict=True))

    async def sampled(self, queues: Sequence[str]) -> dict[str, list[UUID]]:
        """Of each queue the tasks of up to 32 messages on it, evenly spread over them: of all where there are no more.
        What is no message of a task is left out. Raises ``BrokerAway``.
        """
        lists = [list_key(queue, step) for queue in queues for step in STEPS]
        answer = await self._server.script("sampled", [], [], [_SAMPLED, len(STEPS), *lists])
        return {queue: _ids(found) for queue, found in zip(queues, answer, strict=True)}

    async def whereabouts(self, sendings: Sequence[tuple[str, int, int]], epoch: int) -> list[str]:
        """Where each (task, its row's attempt, sending) is that has left its list: as ``whereabouts.lua`` says.

        Raises ``BrokerAway``.
        """
        calls: list[ScriptCall] = [
            ([keys.CONTROL, keys.claim(task), UNACKED], [epoch], [attempt, delivery_tag(task, dispatch)])
            for task, attempt, dispatch in sendings
        ]
        return [answer.decode() for answer in await self._server.scripts("whereabouts", calls)] if calls else []

    async def fetched(self, most: int) -> list[tuple[str, int]]:
        """Our messages (task, sending) that were fetched and not acknowledged, at most ``most``, the oldest first.

        Raises ``BrokerAway``.
        """
        tags = await self._server.command("ZRANGE", UNACKED_INDEX, 0, most - 1)
        return [sending for tag in tags if (sending := sending_of(tag)) is not None]

    async def forget(self, sendings: Sequence[tuple[str, int]]) -> None:
        """Keep kombu from giving back these (task, sending) that somebody fetched. Raises ``BrokerAway``."""
        if sendings:
            tags = [delivery_tag(task, dispatch) for task, dispatch in sendings]
            await self._server.pipeline([("HDEL", UNACKED, *tags), ("ZREM", UNACKED_INDEX, *tags)])

    async def publish_pauses(self, pauses: Sequence[Word]) -> None:
        """Tell the gate and every API process which queues are paused: name, revision, 1 or 0 of each. Raises
        ``BrokerAway``.
        """
        if pauses:
            await self._server.script("pause", [keys.CONTROL], [], pauses)

    async def stated_pauses(self) -> dict[str, str]:
        """What Redis says of each queue that ever was paused: ``<revision>:1`` or ``<revision>:0``. Raises
        ``BrokerAway``.
        """
        flat = await self._server.command("HGETALL", keys.CONTROL)
        found = zip(flat[::2], flat[1::2], strict=True)
        return {
            name.decode().removeprefix(_PAUSE): value.decode(errors="replace")
            for name, value in found
            if name.isascii() and name.startswith(_PAUSE.encode())
        }

    async def forget_pauses(self, queues: Collection[str]) -> None:
        """Take back what Redis says of these queues. Raises ``BrokerAway``."""
        if queues:
            await self._server.command("HDEL", keys.CONTROL, *(_PAUSE + queue for queue in queues))

    async def measure_memory(self) -> int:
        """Write used memory in percent of maxmemory (0 without a limit) where the scripts see it, and return it."""
        info: bytes = await self._server.command("INFO", "memory")
        values = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
        limit, used = int(values[b"maxmemory"]), int(values[b"used_memory"])
        percent = 100 * used // limit if limit else 0
        await self._server.script("memory", [keys.CONTROL], [], [percent])
        return percent


def _ids(words: Sequence[bytes]) -> list[UUID]:
    found = []
    for word in words:
        with suppress(ValueError):
            # Celery takes anything for an id.
            found.append(UUID(word.decode()))
    return found


def _stated(window: bytes) -> StatedWindow:
    """What is not the dispatcher's, who soon writes it anew, says nothing."""
    try:
        stated = json.loads(window) if window else {}
        limit, waiting, shared, sole = (stated.get(name) for name in StatedWindow._fields)
    except (ValueError, AttributeError, RecursionError):
        return StatedWindow(None, False, False, None)
    share: tuple[str, str] | None = None
    match sole:
        case [str() as caller, str() as key]:
            share = caller, key
    return StatedWindow(limit if type(limit) is int and limit >= 0 else None, waiting is True, shared is True, share)
