"""Against a server that speaks the API's words. The acceptance tests do it against the API itself."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from pointsman.settings import settings
from pointsman.shipped.control_plane import ControlPlaneAway, ControlPlaneRefused, NoControlPlane
from pointsman.shipped.tasks.jobs import auto_close_jobs
from pointsman_contract.run_file import RunFile
from tests.integration.tasks.conftest import TASK_ID, Configure, assert_refused, run
from tests.peers.http import HTTPPeer, Recorded, Reply

Cancel = Callable[[str], Reply]


def cancelled(_: str) -> Reply:
    return Reply.of({"state": "cancelled"})


class API:
    """A list of tasks in pages, and what cancelling each answers."""

    def __init__(self, peer: HTTPPeer, pages: list[list[str]], cancel: Cancel = cancelled) -> None:
        self.peer = peer
        self._pages = pages
        self.cancelled: list[str] = []
        peer.on("/v1/tasks", self._list)
        for task_id in (task_id for page in pages for task_id in page):
            peer.on(f"/v1/tasks/{task_id}/cancel", self._cancelling(task_id, cancel))

    def _list(self, request: Recorded) -> Reply:
        number = int(request.query.get("cursor", ["0"])[0])
        more = str(number + 1) if number + 1 < len(self._pages) else None
        return Reply.of({"items": [{"id": task_id} for task_id in self._pages[number]], "next_cursor": more})

    def _cancelling(self, task_id: str, cancel: Cancel) -> Callable[[Recorded], Reply]:
        def answering(request: Recorded) -> Reply:
            assert request.method == "POST"
            self.cancelled.append(task_id)
            return cancel(task_id)

        return answering


@pytest.fixture
def peer(http_peer: HTTPPeer, configure: Configure) -> HTTPPeer:
    """A server that the workers take for the API."""
    configure(api_url=http_peer.url)
    return http_peer


def close(**arguments: Any) -> Any:
    return run(auto_close_jobs, **({"tag": "tenant:42", "older_than_seconds": 3600} | arguments))


def ids(count: int) -> list[str]:
    return [str(uuid4()) for _ in range(count)]


def problem(status: int, case: str) -> Reply:
    return Reply.of({"type": f"urn:pointsman:problem:{case}", "detail": f"because {case}"}, status)


def test_every_page_is_cancelled(peer: HTTPPeer) -> None:
    pages = [ids(3), ids(2), []]
    api = API(peer, pages)
    result = close()
    assert api.cancelled == pages[0] + pages[1] == result["ids"]
    assert (result["matched"], result["cancelled"], result["more"]) == (5, 5, False)


def test_only_old_tasks_of_the_tag_and_state_are_asked_for(peer: HTTPPeer) -> None:
    API(peer, [[]])
    close(tag="tenant:a:b", state="held")
    asked = peer.requests[0].query
    assert (asked["tag"], asked["state"]) == (["tenant:a:b"], ["held"])
    before = datetime.fromisoformat(asked["submitted_before"][0])
    assert timedelta(seconds=3600) <= datetime.now(UTC) - before < timedelta(seconds=3660)


def test_answers_are_counted(peer: HTTPPeer) -> None:
    running, done, gone, busy, fine = given = ids(5)
    answers = {
        running: Reply.of({"state": "running"}, 202),
        done: problem(409, "task-finished"),
        gone: problem(404, "unknown-task"),
        busy: problem(503, "database-away"),
        fine: Reply.of({"state": "cancelled"}),
    }
    API(peer, [given], answers.__getitem__)
    result = close()
    counts = {name: result[name] for name in ("matched", "cancelled", "requested", "finished", "gone", "failed")}
    assert counts == {"matched": 5, "cancelled": 1, "requested": 1, "finished": 1, "gone": 1, "failed": 1}
    assert result["ids"] == [running, fine]
    assert result["errors"] == [f"{busy}: because database-away"]


def test_dry_run_cancels_nothing(peer: HTTPPeer) -> None:
    api = API(peer, [ids(2)])
    result = close(dry_run=True)
    assert api.cancelled == []
    assert (result["matched"], result["cancelled"], len(result["ids"])) == (2, 0, 2)


def test_limit_ends_the_run(peer: HTTPPeer) -> None:
    api = API(peer, [ids(3), ids(3)])
    result = close(limit=4)
    assert len(api.cancelled) == 4
    assert (result["cancelled"], result["more"]) == (4, True)


def test_time_ends_the_run(peer: HTTPPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    api = API(peer, [ids(3)])
    monkeypatch.setattr("pointsman.shipped.tasks.jobs._RUN_SECONDS", -1.0)
    assert close()["more"] is True
    assert api.cancelled == []


def test_result_names_a_hundred_at_most(peer: HTTPPeer) -> None:
    API(peer, [ids(120)])
    result = close()
    assert (result["cancelled"], len(result["ids"])) == (120, 100)


def test_task_does_not_cancel_itself(peer: HTTPPeer) -> None:
    api = API(peer, [[TASK_ID]])
    assert close(state="retrying")["matched"] == 0
    assert api.cancelled == []


def test_api_that_is_away_fails_for_now(configure: Configure, peer: HTTPPeer) -> None:
    peer.on("/v1/tasks", problem(503, "database-away"))
    with pytest.raises(ControlPlaneAway, match="503: because database-away"):
        close()
    configure(api_url="http://127.0.0.1:1")
    with pytest.raises(ControlPlaneAway, match="connection refused"):
        close()


def test_api_that_fails_again_and_again_is_given_up_for_now(peer: HTTPPeer) -> None:
    api = API(peer, [ids(20)], lambda _: problem(503, "database-away"))
    with pytest.raises(ControlPlaneAway):
        close()
    assert len(set(api.cancelled)) == 5


def test_api_without_the_endpoint_fails_for_good(peer: HTTPPeer) -> None:
    API(peer, [ids(20)], lambda _: problem(404, "not-found"))
    with pytest.raises(ControlPlaneRefused, match="404"):
        close()


def test_server_that_is_not_the_api_fails_for_now(peer: HTTPPeer) -> None:
    peer.on("/v1/tasks", Reply(200, b"<html>"))
    with pytest.raises(ControlPlaneAway, match="no JSON"):
        close()


def test_api_of_a_running_supervisor_is_found(configure: Configure, http_peer: HTTPPeer) -> None:
    with pytest.raises(NoControlPlane, match="POINTSMAN_API_URL"):
        close()
    API(http_peer, [ids(1)])
    directory = settings().data_dir
    directory.mkdir()
    RunFile(supervisor_pid=1, database_url="", redis_url="", api_url=http_peer.url).write(directory)
    assert close()["cancelled"] == 1


BAD: list[dict[str, Any]] = [
    {"tag": "tenant"},
    {"tag": ":42"},
    {"tag": ""},
    {"older_than_seconds": -1},
    {"state": "running"},
    {"limit": 0},
    {"limit": 10_001},
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_bad_argument_is_refused(bad: dict[str, Any]) -> None:
    assert_refused(auto_close_jobs, **({"tag": "a:b", "older_than_seconds": 1} | bad))
