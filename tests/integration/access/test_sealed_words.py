"""Whoever has an encrypted payload from elsewhere, out of a dump or Redis, is told by it what they may see anyway."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pointsman_service.dashboard import rendering
from pointsman_service.dashboard.links import ROOT
from pointsman_service.errors import DatabaseAway
from pointsman_service.store.tasks import reading
from tests.integration.access.keyed import Keyed

SECRET = "Zanzibar-8114"
HIDDEN = "(encrypted)"
Made = Callable[..., Keyed]


@pytest.fixture
async def sealing(keyed: Keyed) -> AsyncIterator[Made]:
    made: list[Keyed] = []

    def make(encryption: str) -> Keyed:
        made.append(Keyed(keyed.spine, encryption_keys=f"2026-11:{'e' * 43}", payload_encryption=encryption))
        sealer = made[-1].parts.sealer
        assert sealer is not None
        rendering.open_with(sealer)
        return made[-1]

    yield make
    rendering.environment.cache_clear()
    for one in made:
        await one.ring._presence.close()


async def _submit(api: Any, **body: Any) -> Any:
    answer = await api.post("/v1/tasks", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def _word_of(keyed: Keyed, token: str) -> str:
    """The encrypted arguments of a task of another type, as they lie in the database."""
    async with keyed.caller(token) as api:
        theirs = await _submit(api, task_type="theirs", args=[SECRET])
        assert (await api.get(f"/v1/tasks/{theirs['id']}")).json()["args"] == [SECRET]
    (row,) = await keyed.spine.rows("SELECT args FROM task_live WHERE task_type = 'theirs'")
    (word,) = json.loads(row["args"])
    assert word.startswith("pm-sealed:")
    return str(word)


async def test_narrowed_key_opens_only_words_of_what_it_reaches(sealing: Made) -> None:
    keyed = sealing("on")
    word = await _word_of(keyed, (await keyed.key("all", preset="admin")).token)
    narrow = await keyed.key("narrow", preset="submitter", task_types=["mine"])
    async with keyed.caller(narrow.token) as api:
        own = await _submit(api, task_type="mine", args=["own"], tags={"x": word})
        path = f"/v1/tasks/{own['id']}"
        shared = (await api.post(f"{path}/links", json={"payload": True})).json()
        answers = [own, (await api.get(path)).json(), (await api.get("/v1/tasks?task_type=mine")).json()["items"][0]]
        async with keyed.caller() as nobody:
            link, own_api = (shared[name].partition("://pointsman")[2] for name in ("url", "api_url"))
            page = await nobody.get(link)
            answers.append((await nobody.get(own_api)).json())
        for answer in answers:
            assert (answer["args"], answer["tags"]) == (["own"], {"x": HIDDEN})
        assert page.status_code == 200
        assert "own" in page.text
        for body in ({"args": [word]}, {"kwargs": {"sealed": word.replace(":args:", ":kwargs:")}}):
            refused = await api.post("/v1/tasks", json={"task_type": "mine"} | body)
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{next(iter(body))}")


async def test_what_is_stored_is_accepted_though_nobody_can_say_whose_its_words_are(
    sealing: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise DatabaseAway

    keyed = sealing("on")
    narrow = await keyed.key("narrow", preset="submitter", task_types=["mine"])
    async with keyed.caller(narrow.token) as api:
        with monkeypatch.context() as patched:
            patched.setattr(reading, "kinds_of", away)
            one = await _submit(api, task_type="mine", args=["one"])
            batch = await api.post("/v1/tasks/batch", json={"tasks": [{"task_type": "mine", "args": ["two"]}]})
            assert (await api.get(f"/v1/tasks/{one['id']}")).status_code == 503, "else this shows nothing"
        assert one["args"] == ["one"]
        assert (batch.status_code, batch.json()["results"][0]["task"]["args"]) == (202, [HIDDEN])
        assert (await api.get(f"/v1/tasks/{one['id']}")).json()["args"] == ["one"]


async def test_page_opens_no_word_for_whoever_may_not_see_payloads(sealing: Made) -> None:
    keyed = sealing("on")
    admin = await keyed.key("all", preset="admin")
    word = await _word_of(keyed, admin.token)
    seen: dict[str, str] = {}
    for name, token in (("looks", (await keyed.key("looks", preset="viewer")).token), ("all", admin.token)):
        async with keyed.browser(token) as browser:
            seen[name] = (await browser.get(f"tasks?caller={word}")).text
    assert SECRET in seen["all"], "else this shows nothing"
    assert SECRET not in seen["looks"]
    assert HIDDEN in seen["looks"]
    async with keyed.caller() as nobody:
        assert SECRET not in (await nobody.get(f"{ROOT}/sign-in?back=search%3Fq%3D{word}")).text


async def test_running_again_opens_no_word_within_arguments(sealing: Made) -> None:
    keyed = sealing("on")
    word = await _word_of(keyed, (await keyed.key("all", preset="admin")).token)
    keyed = sealing("off")
    scopes = ["tasks:submit", "tasks:act", "tasks:read", "payload:read"]
    narrow = await keyed.key("narrow", scopes=scopes, task_types=["mine"])
    async with keyed.caller(narrow.token) as api:
        own = await _submit(api, task_type="mine", args=["own", word], delay_seconds=60)
        assert (await api.post(f"/v1/tasks/{own['id']}/cancel")).json()["state"] == "cancelled"
        again = await api.post(f"/v1/tasks/{own['id']}/retry", json={"kwargs": {}})
        assert (again.status_code, again.json()["args"]) == (202, ["own", HIDDEN])
    rows = await keyed.spine.rows("SELECT args FROM task_live WHERE task_type = 'mine'")
    assert [json.loads(row["args"]) for row in rows] == [["own", word]]
