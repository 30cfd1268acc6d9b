"""The pulse of a service process: it beats while every loop of the process turns."""

from collections.abc import Iterable
from pathlib import Path

from pointsman_contract.pulse import PULSE_SECONDS, PulseFile
from pointsman_service.loops import Loop
from pointsman_service.telemetry import logger

log = logger(__name__)

STUCK_SECONDS = 120.0
"""Every wait of a pass is bounded by seconds: one that lasts longer than this hangs."""

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound


class Pulse:
    """Beats from the event loop that the others run in, so that a blocked one falls silent, too.

    A loop whose passes fail still turns: that the database is away is no reason to end a process.
    """

    def __init__(self, file: PulseFile, others: Iterable[Loop], stuck_seconds: float = STUCK_SECONDS) -> None:
        self._file = file
        self._others = others
        self._stuck_seconds = stuck_seconds
        self._stuck: list[str] = []
        self.loop = Loop("pulse", self._single_pass, PULSE_SECONDS)

    async def _single_pass(self) -> bool:
        stuck = [loop.name for loop in self._others if loop.pass_seconds() > self._stuck_seconds]
        if stuck and stuck != self._stuck:
            log.error("a pass does not end: no more pulse", loops=stuck, seconds=self._stuck_seconds)
        self._stuck = stuck
        if not stuck:
            self._file.beat()
        return False


def pulse_file(path: Path, *, listens_at: tuple[str, int] | None) -> PulseFile:
    """The file of this process; with the address it binds, its health includes that the API answers there."""
    if listens_at is None:
        return PulseFile(path)
    host, port = listens_at
    host = _ANY.get(host, host)
    return PulseFile(path, f"http://{f'[{host}]' if ':' in host else host}:{port}/livez")
