"""Say of an error group that it is mended, that nobody wants to hear of it, or that it is to be looked at after all."""

from uuid import UUID

from pointsman_service.callers import Caller
from pointsman_service.errors import UnknownErrorGroup
from pointsman_service.failures.standing import GroupState
from pointsman_service.operate.act import Act, ActKind, acting
from pointsman_service.store.errors import judging
from pointsman_service.store.errors.judging import IgnoreLimit
from pointsman_service.store.store import Store

__all__ = ["ErrorHand", "GroupState", "IgnoreLimit"]

_ACTS = {
    GroupState.RESOLVED: ActKind.RESOLVE_ERROR,
    GroupState.IGNORED: ActKind.IGNORE_ERROR,
    GroupState.OPEN: ActKind.REOPEN_ERROR,
}


class ErrorHand:
    """Judges error groups for one API process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def set_state(
        self,
        caller: Caller,
        group_id: UUID,
        state: GroupState,
        reason: str | None,
        who: str | None,
        limit: IgnoreLimit | None = None,
    ) -> None:
        """Committed when this returns, with who and why in its history. ``limit``: what ends that it is ignored.

        Raises ``UnknownErrorGroup``.
        """
        act = Act(_ACTS[state], caller, str(group_id), reason, who)
        async with acting(self._store, act) as connection:
            before = await judging.set_state(connection, group_id, state, act.actor, reason, limit)
            if before is None:
                raise UnknownErrorGroup
            act.was(str(before), str(state))
            act.changed = before is not state or limit is not None
