"""What fills Redis, by size: for whoever has to make room."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pointsman_contract import keys
from pointsman_contract.queues import STEPS, list_key
from pointsman_service.redis import RedisServer

_AT_ONCE = 500
_MOST_SCANS = 4
_SAMPLES = 5
_OURS = {
    keys.CLAIM_PREFIX: "claims of tasks",
    keys.ONCE_PREFIX: "steps of tasks",
    keys.EVENTS_PREFIX: "reports of workers that are not written down",
    keys.SET_ASIDE: "messages that were set aside",
    "pointsman:": "other keys of Pointsman",
    "unacked": "messages that workers hold",
    "_kombu": "bindings of Celery",
}
"""By prefix, the first that fits."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What keys of one kind take."""

    what: str
    size: int
    """Bytes: an estimate, of the keys that were looked at."""


async def largest(server: RedisServer, queues: Iterable[str], most: int) -> list[Taken]:
    """The kinds of keys that take most, of two thousand of them and of all that are known to grow. Raises
    ``BrokerAway``.
    """
    lists = {list_key(queue, step): f"messages of {queue}" for queue in queues for step in STEPS}
    found = {name.encode() for name in (*lists, "unacked", keys.SET_ASIDE)}
    cursor: bytes | int = 0
    for _ in range(_MOST_SCANS):
        cursor, names = await server.command("SCAN", cursor, "COUNT", _AT_ONCE)
        found.update(names)
        if int(cursor) == 0:
            break
    wanted = sorted(found)
    sizes: Counter[str] = Counter()
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        taken = await server.pipeline([("MEMORY", "USAGE", name, "SAMPLES", _SAMPLES) for name in part])
        for name, size in zip(part, taken, strict=True):
            if size:
                sizes[_kind(name.decode(errors="replace"), lists)] += size
    return [Taken(what, size) for what, size in sizes.most_common(most)]


def _kind(name: str, lists: dict[str, str]) -> str:
    if name in lists:
        return lists[name]
    kind = next((what for prefix, what in _OURS.items() if name.startswith(prefix)), None)
    return kind or f"keys of others ({name.partition(':')[0][:40]})"
