"""Messages that were set aside are listed, counted, measured and told, until an operator discards them."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pointsman.transport.setting_aside import call
from pointsman_contract import keys
from pointsman_contract.queues import UNACKED, UNACKED_INDEX
from pointsman_contract.set_aside import MOST_KEPT
from pointsman_service.alert.lookout import Lookout
from pointsman_service.alert.rules import judge
from tests.integration.spine import Spine
from tests.unit.alert.test_rules import LIMITS

Fresh = Callable[[], httpx.AsyncClient]
LIST = "/v1/set-aside-messages"
DISCARD = f"{LIST}/discard"


async def set_aside(spine: Spine, *messages: bytes, queue: str = "email", **names: str) -> None:
    calls: list[Any] = [call(queue, "", message, "it is no JSON", **names) for message in messages]
    await spine.server.scripts("set_aside", [(found, [], words) for found, words in calls])


async def test_message_is_shown_with_its_reason_and_nothing_that_a_terminal_obeys(
    api: httpx.AsyncClient, spine: Spine
) -> None:
    await set_aside(spine, b"\x1b[2J\xff \xc3\xa9 {}", task="t-1", task_type="noop")
    (one,) = (await api.get(LIST)).json()["items"]
    assert one["text"] == "\\x1b[2J\\xff \u00e9 {}"
    assert (one["queue"], one["reason"], one["bytes"], one["end"]) == ("email", "it is no JSON", 11, None)
    assert (one["task_id"], one["task_type"]) == ("t-1", "noop")


async def test_of_a_long_message_both_ends_are_shown(api: httpx.AsyncClient, spine: Spine) -> None:
    await set_aside(spine, b"a" * 50_000 + b"b" * 50_000)
    (one,) = (await api.get(LIST)).json()["items"]
    assert (one["bytes"], one["text"], one["end"]) == (100_000, "a" * 2048, "b" * 2048)
    assert (one["task_id"], one["task_type"]) == (None, None)


async def test_pages_show_every_message_once_the_newest_first(api: httpx.AsyncClient, spine: Spine) -> None:
    await set_aside(spine, *(b"%d" % number for number in range(7)))
    seen: list[str] = []
    page: dict[str, Any] = {"next_cursor": None}
    while not seen or page["next_cursor"]:
        page = (await api.get(LIST, params={"limit": 3} | ({"cursor": page["next_cursor"]} if seen else {}))).json()
        seen += [one["text"] for one in page["items"]]
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]
    assert (await api.get(LIST, params={"cursor": "0-0"})).json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=1-1-1", f"cursor={'9' * 30}-0", "limit=0", "limit=101", "queue=email"]
)
async def test_query_that_is_none_is_refused(api: httpx.AsyncClient, query: str) -> None:
    assert (await api.get(f"{LIST}?{query}")).status_code == 422


async def test_only_the_newest_are_kept_and_all_are_counted(fresh_api: Fresh, spine: Spine) -> None:
    await set_aside(spine, *(b"%d" % number for number in range(MOST_KEPT + 5)))
    assert await spine.server.command("XLEN", keys.SET_ASIDE) == MOST_KEPT
    async with fresh_api() as api:
        assert (await api.get("/v1/queues/email")).json()["set_aside"] == MOST_KEPT + 5
        assert (await api.get("/v1/queues/critical")).json()["set_aside"] == 0


async def test_discard_takes_what_was_seen_and_leaves_what_came_later(fresh_api: Fresh, spine: Spine) -> None:
    await set_aside(spine, b"0", b"1")
    await set_aside(spine, b"2", queue="critical")
    async with fresh_api() as api:
        seen = (await api.get(LIST)).json()["items"][0]["id"]
        await set_aside(spine, b"3")
        answers = [(await api.post(DISCARD, json={"through": seen})).json() for _ in range(2)]
    assert answers == [{"discarded": 3, "left": 1}, {"discarded": 0, "left": 1}]
    async with fresh_api() as api:
        assert [one["text"] for one in (await api.get(LIST)).json()["items"]] == ["3"]
        assert (await api.get("/v1/queues/email")).json()["set_aside"] == 1
        assert (await api.get("/v1/queues/critical")).json()["set_aside"] == 0
        metrics = (await api.get("/metrics")).text
    assert 'pointsman_messages_set_aside_total{queue="email"} 3.0' in metrics
    assert 'pointsman_messages_set_aside_total{queue="reports"} 0.0' in metrics
    assert 'pointsman_set_aside_messages{queue="email"} 1.0' in metrics
    assert 'pointsman_set_aside_messages{queue="critical"} 0.0' in metrics


@pytest.mark.parametrize("body", [{}, {"through": "all"}, {"through": "1-1", "queue": "email"}, {"through": 5}])
async def test_discard_that_names_no_message_is_refused(api: httpx.AsyncClient, spine: Spine, body: Any) -> None:
    await set_aside(spine, b"0")
    assert (await api.post(DISCARD, json=body)).status_code == 422
    assert await spine.server.command("XLEN", keys.SET_ASIDE) == 1


async def test_what_is_set_aside_is_an_alert_until_it_is_discarded(api: httpx.AsyncClient, spine: Spine) -> None:
    async def told() -> list[str]:
        lookout = Lookout(spine.store, spine.broker, spine.server, spine.settings)
        conditions = judge(await lookout.look(), LIMITS).conditions
        return [one.key for one in conditions if one.rule == "messages_set_aside"]

    assert await told() == []
    await set_aside(spine, b"0", b"1")
    assert await told() == ["messages_set_aside:email"]
    (newest, _) = (await api.get(LIST)).json()["items"]
    await api.post(DISCARD, json={"through": newest["id"], "reason": "seen"})
    assert await told() == []


@pytest.mark.parametrize("key", [UNACKED, UNACKED_INDEX])
async def test_message_is_set_aside_once_though_nothing_can_be_taken_from_where_it_lay(spine: Spine, key: str) -> None:
    await spine.server.command("SET", key, "somebody's")
    found, words = call("email", "tag", b"0", "it is no JSON")
    await spine.server.script("set_aside", found, [], words)
    assert await spine.server.command("HGET", keys.SET_ASIDE_COUNTS, "open:email") == b"1"


async def test_entry_with_an_id_of_the_far_future_is_shown(api: httpx.AsyncClient, spine: Spine) -> None:
    await spine.server.command("XADD", keys.SET_ASIDE, f"{2**63}-1", "queue", "email")
    (one,) = (await api.get(LIST)).json()["items"]
    assert one["set_aside_at"].startswith("9999-")


@pytest.mark.parametrize("command", [("SET", "x"), ("XADD", f"{2**64 - 1}-{2**64 - 1}", "queue", "email")])
async def test_key_that_somebody_spoilt_is_made_anew_and_the_message_kept(
    fresh_api: Fresh, spine: Spine, command: tuple[str, ...]
) -> None:
    await spine.server.command(command[0], keys.SET_ASIDE, *command[1:])
    await spine.server.command("SET", keys.SET_ASIDE_COUNTS, "x")
    async with fresh_api() as api:
        assert (await api.get("/v1/queues/email")).json()["set_aside"] is None
    await set_aside(spine, b"0")
    async with fresh_api() as api:
        assert [one["text"] for one in (await api.get(LIST)).json()["items"]] == ["0"]
        assert (await api.get("/v1/queues/email")).json()["set_aside"] == 1
