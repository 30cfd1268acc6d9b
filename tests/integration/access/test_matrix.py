"""Every operation as every preset, by a key that reaches everything, its own task type or queue, or another one: each
is answered as the table of rights says.

What an operation answers once it is let in is no matter here: 404 and 422 are answers of its own.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from pointsman_service.access.rights import RIGHTS, Names
from pointsman_service.access.scopes import ALL, PRESETS, KeyScope, Preset
from pointsman_service.api.answers.answer import GUARDS
from pointsman_service.callers import CONSOLE
from pointsman_service.operate.handle_keys import WantedKey
from tests.integration.access.keyed import Keyed
from tests.unit.front.asking import Operation, operations

OPERATIONS = list(operations())
STREAMS = {"stream_tasks", "stream_task", "stream_log_lines", "stream_breaker_transitions"}
"""Without an end: of those that would begin, the begin is enough."""


class Reach(NamedTuple):
    """What a key is narrowed to."""

    name: str
    task_types: tuple[str, ...] | None = None
    queues: tuple[str, ...] | None = None


EVERYTHING = Reach("everything")
OWN_TYPE, OTHER_TYPE = Reach("own type", ("mine",)), Reach("other type", ("theirs",))
OWN_QUEUE, OTHER_QUEUE = Reach("own queue", None, ("email",)), Reach("other queue", None, ("reports",))
REACHES = (EVERYTHING, OWN_TYPE, OTHER_TYPE, OWN_QUEUE, OTHER_QUEUE)
OWN = {"task_type": "mine", "queue": "email"}
"""What every request of this matrix is about, as far as it says."""


def names_what(names: Names) -> set[str]:
    """What a request of this matrix names: task type, queue, or both."""
    return {
        Names.NOTHING: set(),
        Names.BREAKER: set(),
        Names.QUEUE: {"queue"},
        Names.TASK_TYPE: {"task_type"},
    }.get(names, {"task_type", "queue"})


def expected(operation: str, preset: Preset | None, reach: Reach) -> str:
    right = RIGHTS[operation]
    if right.scope is None:
        return "let in"
    if preset is None:
        return "key-missing"
    if right.scope not in PRESETS[preset]:
        return f"scope-missing {right.scope}"
    if right.names in (Names.EVERYBODY, Names.CALL):
        return "let in"
    named = {"queue"} if operation == "get_queue_metrics" else names_what(right.names)
    for what, narrowed in (("task_type", reach.task_types), ("queue", reach.queues)):
        if narrowed is not None and (what not in named or OWN[what] not in narrowed):
            return "outside-key"
    return "let in"


class World(NamedTuple):
    """What the paths of this matrix lead to."""

    task_id: str
    act_id: str
    replay_id: str


async def _world(keyed: Keyed) -> World:
    admin = await keyed.key("maker", preset="admin")
    async with keyed.caller(admin.token) as api:
        made = await api.post("/v1/tasks", json=OWN | {"delay_seconds": 9999})
        act = await api.post("/v1/tasks/cancel", json=OWN | {"state": "held"})
        replay = await api.post("/v1/dead-letters/replay", json=OWN)
    assert [made.status_code, act.status_code, replay.status_code] == [202, 202, 202]
    return World(made.json()["id"], act.json()["id"], replay.json()["replay_id"])


def _request(operation: Operation, world: World) -> dict[str, Any]:
    """A valid request that names what it is about, in every way that its operation has."""
    names = RIGHTS[operation.id].names
    path = operation.path
    template = operation.template
    if "{task_id}" in template or "{act_id}" in template or "{replay_id}" in template:
        path = template.format(task_id=world.task_id, act_id=world.act_id, replay_id=world.replay_id)
    if names is Names.TASK_TYPE:
        path = template.format(name="mine")
    body = None if operation.body is None else json.loads(operation.body)
    if names is Names.SUBMISSION:
        body = {"tasks": [OWN, OWN]} if operation.id == "submit_batch" else dict(OWN)
    elif names is Names.BODY:
        body = OWN | {"dry_run": True}
    params = {}
    if names is Names.QUERY:
        params = {"queue": "email"} if operation.id == "get_queue_metrics" else dict(OWN)
    return {"method": operation.method, "url": path, "json": body, "params": params or None}


def answered(answer: httpx.Response) -> str:
    assert {name.decode() for name, _ in GUARDS} | {"x-request-id"} <= answer.headers.keys(), answer.request.url
    if answer.status_code not in (401, 403):
        return "let in"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    code: str = problem["type"].rpartition(":")[2]
    if code == "scope-missing":
        assert f'scope="{problem["scope"]}"' in answer.headers["www-authenticate"]
        assert problem["scope"] in problem["detail"]
        return f"{code} {problem['scope']}"
    return code


async def _asked(api: httpx.AsyncClient, request: dict[str, Any], *, begins: bool) -> str:
    async with api.stream(**{name: value for name, value in request.items() if value is not None}) as answer:
        if not begins:
            await answer.aread()
        return answered(answer)


def _cases() -> Iterator[tuple[Preset | None, Reach]]:
    yield None, EVERYTHING
    for preset in Preset:
        for reach in REACHES:
            yield preset, reach


@pytest.mark.timeout(240)
async def test_each_operation_is_answered_as_its_table_says(keyed: Keyed) -> None:
    world, wrong, asked = await _world(keyed), [], 0
    for preset, reach in _cases():
        token = None
        if preset is not None:
            made = await keyed.key(
                f"{preset}-{reach.name.replace(' ', '-')}",
                preset=preset,
                task_types=reach.task_types,
                queues=reach.queues,
            )
            token = made.token
        async with keyed.caller(token) as api:
            for operation in OPERATIONS:
                wanted = expected(operation.id, preset, reach)
                if operation.id in STREAMS and wanted == "let in":
                    # httpx's transport reads an answer whole: a stream that begins has no end here.
                    continue
                said = await _asked(api, _request(operation, world), begins=False)
                asked += 1
                if said != wanted:
                    wrong.append((str(preset), reach.name, operation.id, f"wanted {wanted}", f"got {said}"))
    assert not wrong, "\n".join(map(str, wrong))
    assert asked > len(OPERATIONS) * 20


@pytest.mark.parametrize(
    ("narrowed", "wanted"),
    [
        ({"task_types": ["mine"]}, "let in"),
        ({"task_types": ["theirs"]}, "outside-key"),
        ({"queues": ["email"]}, "outside-key"),
    ],
)
async def test_the_circuit_breaker_of_a_task_type_is_its_own(
    keyed: Keyed, narrowed: dict[str, Any], wanted: str
) -> None:
    made = await keyed.key("ops", preset="admin", **narrowed)
    async with keyed.caller(made.token) as api:
        for method, path in (("GET", ""), ("GET", "/history"), ("POST", "/reset"), ("POST", "/permits")):
            request = {"method": method, "url": f"/v1/breakers/task_type/mine{path}"}
            if path == "/reset":
                request["json"] = {"reason": "why"}  # type: ignore[assignment]
            assert await _asked(api, request, begins=False) == wanted, path


async def test_a_batch_passes_only_if_all_of_it_is_allowed(keyed: Keyed) -> None:
    made = await keyed.key("narrow", preset="submitter", task_types=["mine"])
    async with keyed.caller(made.token) as api:
        for atomic in (False, True):
            body = {"tasks": [{"task_type": "mine"}, {"task_type": "theirs"}], "atomic": atomic}
            answer = await api.post("/v1/tasks/batch", json=body)
            assert (answer.status_code, answered(answer)) == (403, "outside-key")
            assert "Item 1" in answer.json()["detail"]
        assert (await keyed.spine.rows("SELECT id FROM task_live")) == []
        allowed = await api.post("/v1/tasks/batch", json={"tasks": [{"task_type": "mine"}] * 2})
        assert allowed.status_code == 202


async def test_a_narrowed_key_does_not_get_out_by_a_change_or_an_edit(keyed: Keyed) -> None:
    world = await _world(keyed)
    made = await keyed.key("narrow", preset="admin", queues=["email"])
    async with keyed.caller(made.token) as api:
        moved = await api.patch(f"/v1/tasks/{world.task_id}", json={"queue": "reports"})
        assert (moved.status_code, answered(moved)) == (403, "outside-key")
        assert (
            await api.patch(f"/v1/tasks/{world.task_id}", json={"queue": "email", "priority": 1})
        ).status_code == 200
        elsewhere = await api.post("/v1/tasks", json={"task_type": "mine", "queue": "reports"})
        assert answered(elsewhere) == "outside-key"
        many = await api.post("/v1/tasks/cancel", json={"task_type": "mine"})
        assert answered(many) == "outside-key"
        assert "it names no queue" in many.json()["detail"]


async def test_no_key_makes_one_that_may_more_whatever_it_lacks(keyed: Keyed) -> None:
    """A maker that lacks one scope, for each; and each preset, with the right to make keys, of each other one."""
    makers = {str(scope): ALL - {scope} for scope in KeyScope if scope is not KeyScope.KEYS_ACT}
    makers |= {f"as-{preset}": PRESETS[preset] | {KeyScope.KEYS_ACT} for preset in Preset}
    wanted: dict[str, dict[str, Any]] = {scope: {"scopes": [scope]} for scope in sorted(ALL)}
    wanted |= {str(preset): {"preset": preset} for preset in Preset}
    made = {name: await keyed.hand.create(CONSOLE, WantedKey(name, scopes=sorted(may)), None)
            for name, may in makers.items()}  # fmt: skip
    held = {name: await keyed.hand.create(CONSOLE, WantedKey(f"held-{name}", **what), None)
            for name, what in wanted.items()}  # fmt: skip
    await keyed.ring.refresh()
    wrong = []
    for maker, may in makers.items():
        asked = set(Preset) | {Preset.ADMIN, maker} & wanted.keys() | {KeyScope.KEYS_ACT}
        async with keyed.caller(made[maker].token) as api:
            for name in sorted(map(str, asked)):
                what = wanted[name]
                grants = PRESETS[what["preset"]] if "preset" in what else frozenset(what["scopes"])
                body = what | {"name": f"by-{maker}-{name}"}
                answers = [await api.post("/v1/keys", json=body)]
                if not grants <= may:
                    # What may be rotated is replaced by that, and nobody rotates it again.
                    answers.append(await api.post(f"/v1/keys/{held[name].key.id}/rotate"))
                said = {(one.status_code, answered(one)) for one in answers}
                if said != ({(201, "let in")} if grants <= may else {(403, "grants-more")}):
                    wrong.append((maker, name, said))
    assert not wrong, "\n".join(map(str, wrong))


async def test_no_key_makes_one_that_lasts_longer(keyed: Keyed) -> None:
    hour = await keyed.key("hour", preset="admin", expires_seconds=3600)
    other = await keyed.key("other", preset="viewer")
    refused, made = (403, "grants-more"), (201, "let in")
    async with keyed.caller(hour.token) as api:
        for path in ("/v1/keys", f"/v1/keys/{other.key.id}/rotate", f"/v1/keys/{hour.key.id}/rotate"):
            for seconds, wanted in ((None, refused), (7200, refused), (60, made)):
                body: dict[str, Any] = {} if seconds is None else {"expires_in_seconds": seconds}
                named = {"name": "short", "preset": "viewer"} if path == "/v1/keys" else {}
                answer = await api.post(path, json=body | named)
                assert (answer.status_code, answered(answer)) == wanted, (path, seconds, answer.text)
                if wanted == refused:
                    assert "let it expire before" in answer.json()["detail"]
    lasting = await keyed.key("lasting", preset="admin")
    async with keyed.caller(lasting.token) as api:
        assert (await api.post("/v1/keys", json={"name": "for-ever", "preset": "viewer"})).status_code == 201
    # A page acts for the key that its browser signed in with.
    quarter = await keyed.key("quarter", preset="admin", expires_seconds=60 * 86_400)
    async with keyed.browser(quarter.token) as browser:
        for lasts, status in (("", 403), ("90", 403), ("30", 201)):
            fields = {"name": "by-page", "preset": "viewer", "lasts": lasts}
            page = await browser.post("keys/create", **fields)
            assert page.status_code == status, page.text
            assert ("would last longer" in page.text) is (status == 403)
        assert (await browser.post(f"keys/{lasting.key.id}/rotate", overlap="0")).status_code == 403
