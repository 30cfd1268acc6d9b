"""Which of the dead workers somebody has to hear of."""

from pointsman_contract.events import Beat
from pointsman_service.alert.facts import LostWorker
from pointsman_service.fleet.liveness import Liveness


class Losses:
    """Dead workers that nobody replaced. Who was replaced once stays so, also when the successor ends in order."""

    def __init__(self) -> None:
        self._replaced: frozenset[str] = frozenset()

    def look(self, liveness: Liveness) -> tuple[LostWorker, ...]:
        """The workers that are lost now. One that ends in order takes its beat away, or says that it is stopping."""
        live, dead = liveness.beats().values(), liveness.dead()
        self._replaced = frozenset(
            owner
            for owner, beat in dead.items()
            if owner in self._replaced or any(_replaces(other, beat) for other in live)
        )
        return tuple(
            LostWorker(beat["name"])
            for owner, beat in dead.items()
            if owner not in self._replaced and not beat.get("stopping")
        )


def _replaces(other: Beat, dead: Beat) -> bool:
    """Whether ``other`` was started in the place of ``dead``."""
    return other["started_at"] > dead["started_at"] and (
        other["name"] == dead["name"] or (other["pool"] == dead["pool"] and other["processes"] >= dead["processes"])
    )
