"""Taking the right to run away from tasks that were sent: only then may their rows end from outside. What runs is asked
to end.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pointsman_contract import keys
from pointsman_contract.failpoints import Failpoint, reach
from pointsman_contract.signing import Purpose, cancel_text
from pointsman_contract.states import TaskState
from pointsman_service.claims.tail import Tail
from pointsman_service.redis import BrokerAway, RedisServer, ScriptCall, Word
from pointsman_service.store.store import Store

_TAIL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Shut:
    """What a gate that was asked to shut said of each task."""

    tail: Tail
    """Of the moment before."""
    closed: list[str]
    """No attempt of these starts any more. Their rows end once the recorder has passed the tail."""
    begun: list[str]
    """These run, or ran, and their events are on the way."""


class Closer:
    """Closes claims, and asks what runs to end."""

    def __init__(self, store: Store, server: RedisServer) -> None:
        self._store = store
        self._server = server

    async def close(self, attempts: Mapping[str, int], epoch: int, reason: TaskState) -> list[str]:
        """Those of the tasks (id to the attempt its row knows) that will not run any more, and whose rows may end.

        The others run, or ran, and their events are on the way; or Redis is away. Waits up to a second for the recorder
        to pass what was reported before; until then nothing is closed, and who may change his mind is bound to nothing.
        """
        if not attempts:
            return []
        try:
            # A task may have run and its claim been forgotten before the recorder got to it.
            tail = await Tail.now(self._server, epoch)
            if not await tail.recorded_within(self._store, _TAIL_SECONDS):
                return []
            closed = (await self._shut(tail, attempts, epoch, reason)).closed
        except BrokerAway:
            return []
        reach(Failpoint.CLAIMS_CLOSED)
        return closed

    async def shut(self, attempts: Mapping[str, int], epoch: int, reason: TaskState) -> Shut:
        """Let no attempt of these tasks start, wherever the recorder is: for requests that stand in the rows and are
        never taken back. A task in neither list of the answer waits for Redis to know this epoch. Raises
        ``BrokerAway``.
        """
        return await self._shut(await Tail.now(self._server, epoch), attempts, epoch, reason)

    async def _shut(self, tail: Tail, attempts: Mapping[str, int], epoch: int, reason: TaskState) -> Shut:
        calls: list[ScriptCall] = [
            ([keys.CONTROL, keys.claim(task_id)], [epoch], [str(reason), keys.CLAIM_SECONDS, attempt])
            for task_id, attempt in attempts.items()
        ]
        answers = await self._server.scripts("close", calls) if calls else []
        said = list(zip(attempts, answers, strict=True))
        return Shut(
            tail,
            [task_id for task_id, answer in said if answer == b"closed"],
            [task_id for task_id, answer in said if answer in (b"running", b"done")],
        )

    async def recorded(self, shut: Shut) -> list[str]:
        """The closed ones if their rows may end. Waits up to a second for the recorder, also for the events of those
        that have begun.
        """
        if not (shut.closed or shut.begun) or not await shut.tail.recorded_within(self._store, _TAIL_SECONDS):
            return []
        reach(Failpoint.CLAIMS_CLOSED)
        return shut.closed

    async def ask(self, grace: Mapping[str, float], epoch: int) -> bool:
        """Ask the workers that run these tasks (id to grace time in seconds) to end them; whether Redis knows that now.

        A claim may not be there yet, or be forgotten: ask again.
        """
        calls: list[ScriptCall] = [
            ([keys.CONTROL, keys.claim(task_id)], [epoch], self._request(task_id, seconds))
            for task_id, seconds in grace.items()
        ]
        try:
            answers = await self._server.scripts("cancel", calls) if calls else []
        except BrokerAway:
            return False
        return b"wait" not in answers

    def _request(self, task_id: str, seconds: float) -> list[Word]:
        signer = self._server.trust.signer
        if signer is None:
            return [seconds]
        return [str(seconds), signer.sign(Purpose.CANCEL, cancel_text(task_id, str(seconds)))]
