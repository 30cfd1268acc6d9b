"""What one round trip to Redis tells: the server, its memory, its clock, and what of ours stands in it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pointsman_contract import keys
from pointsman_service.redis import RedisServer


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """Redis at one moment. ``info`` is its own report, by field."""

    info: Mapping[str, str]
    epoch: int | None
    """The epoch that it speaks of; None when it speaks of none."""
    epoch_run_id: str
    """The server that this epoch was declared on."""
    is_open: bool
    """Whether its census is over."""
    contract: str
    """The version that the control plane has stated; empty when it has not."""
    visibility_timeout_seconds: int | None
    """As living workers state it; None: none does."""
    ahead_seconds: float
    """How far its clock is ahead of this machine's."""
    unsure_seconds: float
    """The clock was asked over a way that takes so long: the difference may be off by as much."""
    beats: int
    """Nodes that have a beat, living or not."""

    @property
    def run_id(self) -> str:
        """Of the server: another after each start."""
        return self.info.get("run_id", "")

    def number(self, name: str) -> int:
        """A field of ``info``; 0 for what is no number."""
        text = self.info.get(name, "")
        return int(text) if text.isascii() and text.isdecimal() else 0


async def redis_facts(server: RedisServer) -> RedisFacts:
    """Ask once. Raises ``BrokerAway``."""
    # Connected before the clock is looked at.
    await server.run_id()
    asked_at = time.time()
    (seconds, micros), *infos, control, visibility, beats = await server.pipeline(
        [
            ("TIME",),
            *(("INFO", section) for section in ("server", "memory", "persistence", "clients", "replication")),
            ("HMGET", keys.CONTROL, "epoch", "run_id", "open", "contract"),
            ("GET", keys.VISIBILITY_TIMEOUT),
            ("HLEN", keys.BEATS),
        ]
    )
    answered_at = time.time()
    return facts_of(
        b"\r\n".join(infos),
        control,
        visibility,
        beats,
        ahead_seconds=int(seconds) + int(micros) / 1e6 - (asked_at + answered_at) / 2,
        unsure_seconds=(answered_at - asked_at) / 2,
    )


def facts_of(
    info: bytes,
    control: Sequence[bytes | None],
    visibility: bytes | None,
    beats: int,
    *,
    ahead_seconds: float,
    unsure_seconds: float,
) -> RedisFacts:
    """The facts in the answers of Redis. What is not as we write it says nothing."""
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    epoch, run_id, is_open, contract = (None if one is None else one.decode(errors="replace") for one in control)
    return RedisFacts(
        info={name: value for name, colon, value in lines if colon},
        epoch=int(epoch) if epoch is not None and epoch.isascii() and epoch.isdecimal() else None,
        epoch_run_id=run_id or "",
        is_open=is_open == "1",
        contract=contract or "",
        visibility_timeout_seconds=int(visibility) if visibility is not None and visibility.isdigit() else None,
        ahead_seconds=ahead_seconds,
        unsure_seconds=unsure_seconds,
        beats=beats,
    )
