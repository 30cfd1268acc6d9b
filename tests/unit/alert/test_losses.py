import itertools
from typing import cast

from pointsman_contract.events import Beat
from pointsman_service.alert.losses import Losses
from pointsman_service.fleet.liveness import Liveness

DEAD_SECONDS = 10.0


def beat(name: str, started_at: float, counter: int) -> Beat:
    fields = {"name": name, "pool": "email", "processes": 1, "started_at": started_at, "counter": counter}
    return cast(Beat, fields)


class Watch:
    """A look each second at beats that go on, but for those named silent."""

    def __init__(self) -> None:
        self.liveness = Liveness(None, DEAD_SECONDS)  # type: ignore[arg-type]
        self.losses = Losses()
        self._seconds = itertools.count()

    def after_a_while(self, *running: tuple[str, float], silent: tuple[tuple[str, float], ...] = ()) -> list[str]:
        """The names of the lost."""
        names: list[str] = []
        for _ in range(int(DEAD_SECONDS) + 3):
            now = next(self._seconds)
            beats = {f"{name}#{started}": beat(name, started, now) for name, started in running}
            beats |= {f"{name}#{started}": beat(name, started, -1) for name, started in silent}
            self.liveness.observe(beats, 1, float(now))
            names = [one.name for one in self.losses.look(self.liveness)]
        return names


def test_a_worker_that_fell_silent_and_was_replaced_stays_so_when_its_successor_ends_in_order() -> None:
    watch, dead = Watch(), ("email@vm", 100.0)
    watch.after_a_while(dead)
    assert watch.after_a_while(silent=(dead,)) == ["email@vm"]
    assert watch.after_a_while(("email-2@vm", 200.0), silent=(dead,)) == []
    assert watch.after_a_while(silent=(dead,)) == []


def test_a_successor_that_falls_silent_is_lost_itself() -> None:
    watch, dead, next_one = Watch(), ("email@vm", 100.0), ("email-2@vm", 200.0)
    watch.after_a_while(dead)
    watch.after_a_while(next_one, silent=(dead,))
    assert watch.after_a_while(silent=(dead, next_one)) == ["email-2@vm"]


def test_an_older_node_of_the_pool_is_no_successor() -> None:
    watch, older, dead = Watch(), ("email@vm", 100.0), ("email-2@vm", 200.0)
    watch.after_a_while(older, dead)
    assert watch.after_a_while(older, silent=(dead,)) == ["email-2@vm"]
