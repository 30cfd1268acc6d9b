"""Calls that are refused are counted by why, and ask nobody."""

import re
from collections.abc import Iterator

from pointsman_service import errors
from pointsman_service.access.token import new_token
from pointsman_service.callers import CONSOLE
from pointsman_service.dashboard.pages import PAGES
from pointsman_service.dashboard.rooms import Key
from pointsman_service.errors import PointsmanError, Unauthorized
from pointsman_service.store.refused_calls import REASONS
from tests.integration.access.keyed import Keyed
from tests.integration.access.test_matrix import OPERATIONS, STREAMS

MINE = {"task_type": "mine"}
OF_WHO_ASKS = {401, 403, 410, 421, 429}


def kinds(of: type[PointsmanError] = PointsmanError) -> Iterator[type[PointsmanError]]:
    yield of
    for one in of.__subclasses__():
        yield from kinds(one)


def test_every_refusal_of_who_asks_is_counted() -> None:
    codes = {kind.code for kind in kinds() if kind.__module__ == errors.__name__ and kind.status in OF_WHO_ASKS}
    assert codes == set(REASONS)
    assert Unauthorized.code in codes


async def test_refusals_are_counted_by_why_for_all_processes_and_look_nothing_up(keyed: Keyed) -> None:
    gone = await keyed.key("gone", preset="viewer")
    await keyed.hand.revoke(CONSOLE, gone.key.id, None)
    viewer, root = await keyed.key("looks", preset="viewer"), await keyed.key("root", preset="admin")
    slow = await keyed.key("slow", preset="submitter", rate="1/600s")
    looks = keyed.ring.looks
    for token, times in ((None, 2), (gone.token, 4), *((new_token(), 1) for _ in range(50))):
        async with keyed.caller(token) as api:
            assert [(await api.get("/v1/tasks")).status_code for _ in range(times)] == [401] * times
    async with keyed.caller(viewer.token) as api:
        assert (await api.post("/v1/tasks", json=MINE)).status_code == 403
        assert (await api.get("/v1/nothing")).status_code == 404, "which is no matter of who asks"
        page = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
        assert (await api.post("/v1/tasks", json=MINE, headers=page)).status_code == 403
    async with keyed.caller(slow.token) as api:
        assert (await api.post("/v1/tasks", json=MINE)).status_code == 202
        assert (await api.post("/v1/tasks/batch", json={"tasks": [MINE] * 3})).status_code == 429
        await keyed.parts.refusals.single_pass()
        assert (await api.post("/v1/tasks", json=MINE)).status_code == 429
    async with keyed.browser() as browser:
        assert (await browser.sign_in(new_token())).status_code == 401
        assert (await browser.post("sign-in", token="stale", key=root.token)).status_code == 403
    assert keyed.ring.looks == looks
    await keyed.parts.refusals.single_pass()
    async with keyed.caller(root.token) as api:
        told = (await api.get("/metrics")).text
    found = {why: int(calls) for why, calls in re.findall(r'calls_refused_total\{reason="([a-z-]+)"\} (\d+)', told)}
    assert found == dict.fromkeys(REASONS, 0) | {
        "key-missing": 2,
        "key-revoked": 4,
        "key-unknown": 51,
        "scope-missing": 1,
        "cross-site": 1,
        "rate-exceeded": 4,
        "stale-form": 1,
    }


class Somebody:
    """Who listens, as far as those count who do."""

    def end(self) -> None:
        """There is nothing to end."""


async def test_who_has_a_share_of_the_places_is_refused_at_each_stream_and_others_are_not(keyed: Keyed) -> None:
    viewer = await keyed.key("looks", preset="viewer", scopes=["payload:read"])
    other, root = await keyed.key("other", preset="viewer"), await keyed.key("root", preset="admin")
    async with keyed.caller(root.token) as api:
        task_id = (await api.post("/v1/tasks", json=MINE)).json()["id"]
    who, another = (keyed.ring.caller(one.token.encode()) for one in (viewer, other))
    listeners, streams = keyed.parts.listeners, keyed.pages.streams
    for _ in range(225):
        listeners.add(Somebody(), who)
    paths = [one.template.replace("{task_id}", task_id) for one in OPERATIONS if one.id in STREAMS]
    async with keyed.caller(viewer.token) as api:
        for path in paths:
            answer = await api.get(path)
            assert (answer.status_code, answer.headers.get("retry-after")) == (503, "5"), path
            assert "looks: 225 listen to this process already" in answer.json()["detail"]
    listeners.refuse(another)
    joined = [streams.join(Key("queues", who), str(number), PAGES[0].pace) for number in range(225)]
    async with keyed.browser(viewer.token) as browser:
        answer = await browser.get("stream?of=queues")
        assert (answer.status_code, answer.headers.get("retry-after")) == (503, "5")
    streams.check(another)
    for number, room in enumerate(joined):
        streams.leave(room, str(number))
    streams.check(who)
