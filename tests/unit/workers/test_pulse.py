from pathlib import Path

import pytest

from pointsman.node.node import Node
from pointsman.node.slots import Slots
from pointsman.parent.pulse import Pulse
from pointsman.settings import Settings
from pointsman_contract.pulse import ailment


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pulse"


def _node(file: Path) -> Node:
    return Node(name="a@b", settings=Settings(pulse_file=file), slots=Slots(1), processes=1, queues=["email"])


def _beats(pulse: Pulse, file: Path, *, redis_answers: bool = True) -> bool:
    """Whether the next turn beats."""
    file.unlink(missing_ok=True)
    pulse._beaten_at = float("-inf")
    pulse.turn(redis_answers=redis_answers)
    return ailment(file) is None


def test_node_that_consumes_beats(file: Path) -> None:
    node = _node(file)
    pulse = Pulse(node, forks=True, stuck_seconds=0)
    for _ in range(3):
        node.consuming += 1
        assert _beats(pulse, file)


def test_consumer_that_stands_still_while_redis_answers_stops_the_pulse(file: Path) -> None:
    node = _node(file)
    pulse = Pulse(node, forks=True, stuck_seconds=0)
    assert _beats(pulse, file)
    assert not _beats(pulse, file)
    node.consuming += 1
    assert _beats(pulse, file)


def test_node_without_redis_is_well(file: Path) -> None:
    pulse = Pulse(_node(file), forks=True, stuck_seconds=0)
    pulse.turn(redis_answers=True)
    assert _beats(pulse, file, redis_answers=False)


def test_node_that_drains_is_well(file: Path) -> None:
    node = _node(file)
    pulse = Pulse(node, forks=True, stuck_seconds=0)
    pulse.turn(redis_answers=True)
    node.slots.stop_waiting()
    assert _beats(pulse, file)


def test_pool_that_runs_tasks_in_its_consumer_is_judged_by_its_beats_alone(file: Path) -> None:
    pulse = Pulse(_node(file), forks=False, stuck_seconds=0)
    pulse.turn(redis_answers=True)
    assert _beats(pulse, file)


def test_file_that_cannot_be_written_ends_no_node(file: Path) -> None:
    Pulse(_node(file / "nowhere"), forks=True).turn(redis_answers=True)


def test_node_without_a_file_says_nothing(tmp_path: Path) -> None:
    node = Node(name="a@b", settings=Settings(), slots=Slots(1), processes=1, queues=["email"])
    Pulse(node, forks=True).turn(redis_answers=True)
    assert list(tmp_path.iterdir()) == []
