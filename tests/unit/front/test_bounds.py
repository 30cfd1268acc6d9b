import resource

import pytest

from pointsman_service.front.bounds import Bounds
from pointsman_service.settings import Settings


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "raised"),
    [
        (4096, 4096, 1000, None),
        (1024, 4096, 1000, 1200),
        (1024, resource.RLIM_INFINITY, 1000, 1200),
        (512, 1024, 824, 1024),
        (256, 256, 56, 256),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1000, None),
    ],
)
def test_connections_leave_files_for_the_process_itself(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, connections: int, raised: int | None
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))

    assert Bounds.of(Settings()).connections == connections
    assert given == ([] if raised is None else [(raised, hard)])


def test_a_body_is_read_beyond_the_largest_batch_so_that_its_refusal_arrives() -> None:
    assert Bounds.of(Settings(batch_bytes=1024)).body_bytes == 1024 + 8 * 1024 * 1024
