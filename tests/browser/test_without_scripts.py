"""Every act of every page, really done by somebody who signed in: by keyboard alone, in a browser without scripts.

An act that is new fails here until its walk is in ``_walk``.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import pytest
from playwright.async_api import Locator, Request, expect

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.callers import CONSOLE
from pointsman_service.dashboard.page import Route
from pointsman_service.dashboard.pages import PAGES
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from pointsman_service.store.workers import catalogue
from tests.browser.conftest import Visitor
from tests.browser.filling import open_alert
from tests.browser.filling_breakers import open_one
from tests.browser.filling_errors import put_group, put_victims
from tests.browser.filling_queues import SHIPPED, put_worker, set_message_aside
from tests.browser.filling_tasks import put
from tests.browser.keyboard import Keyboard
from tests.browser.site import ROOT, Site

_AROUND = {"preferences", "sign-in", "sign-out"}
"""What forms around the pages are sent to."""
_WHO = "ada"
_CHARGE = TaskTypeSpec(name="shop.charge", queue="reports", time_limit_seconds=300)


@pytest.fixture
async def asking(
    postgres: PostgresServer, migrated_template: str, redis_of_browser: ValkeyServer
) -> AsyncIterator[Site]:
    """An installation that asks for keys."""
    url = postgres.start().create_database(template=migrated_template)
    async with Site(url, redis_of_browser.url, keys_required=True) as site:
        yield site


@dataclass
class Walker:
    """Does one act after the other, and looks what came of each."""

    site: Site
    keyboard: Keyboard
    sent_to: list[str] = field(default_factory=list)
    """Paths of all forms that were sent, below the dashboard."""

    def hear(self, request: Request) -> None:
        """A request that the browser has made."""
        if request.method == "POST":
            self.sent_to.append(urlsplit(request.url).path.removeprefix(ROOT))

    async def goes(self, path: str) -> None:
        """To the content of a page."""
        await self.keyboard.page.goto(self.site.url + path)
        await self.keyboard.skip()

    async def does(self, button: str, said: str, undone: str = "", *, undo: str = "Undo", **fields: str) -> None:
        """The act of a button on the page that is shown, once the fields of its form are filled in; then the undo."""
        page = self.keyboard.page
        named = page.get_by_role("button", name=button, exact=True)
        pressed = page.locator("main").get_by_role("button", name=button, exact=True)
        await self.keyboard.fill(page.locator("main form", has=named), **fields)
        await self.keyboard.enter(pressed)
        outcome = page.locator("#done, #once")
        await expect(outcome).to_be_focused()
        await self.keyboard.go_to(outcome, most=0)
        await self._came_of_it(outcome, said)
        if undone:
            await self.keyboard.press("Tab")
            await expect(outcome.get_by_role("button", name=undo)).to_be_focused()
            await self.keyboard.enter(outcome.get_by_role("button", name=undo))
            await self._came_of_it(outcome, undone)

    async def _came_of_it(self, outcome: Locator, said: str) -> None:
        await expect(outcome).to_contain_text(said)
        route = act_at(self.sent_to[-1])
        assert route is not None, self.sent_to[-1]
        (row,) = await self.site.run("SELECT act, caller FROM audit ORDER BY id DESC LIMIT 1")
        if route.kind in set(ActKind):
            assert (row.act, row.caller) == (route.kind, _WHO), self.sent_to[-1]


def act_at(path: str) -> Route | None:
    """What a form sent there does."""
    return next((one for page in PAGES for one in page.routes if one.acts and one.match(path) is not None), None)


async def test_every_act_of_every_page_is_done_without_scripts_by_keyboard_alone(
    plain_visitor: Visitor, asking: Site
) -> None:
    page = plain_visitor.page
    keyboard = Keyboard(page, looks=False)
    walker = Walker(asking, keyboard)
    page.on("request", walker.hear)
    key = await KeyHand(asking.store).create(CONSOLE, WantedKey(_WHO, preset="admin"), None)
    await asking.dashboard._parts.keys.refresh()
    async with asking.store.transaction() as connection:
        await catalogue.publish(connection, "reports@host-1#1", [SHIPPED, _CHARGE])

    await page.goto(asking.url)
    await expect(page.locator("[name=key]")).to_be_focused()
    await page.keyboard.type(key.token)
    await keyboard.enter(page.get_by_role("button", name="Sign in"))
    await _walk(walker)
    await walker.goes("help")
    await keyboard.enter(page.get_by_role("button", name="Turn single keys off"))
    await expect(page.locator("body")).to_have_attribute("data-keys", "off")
    await keyboard.enter(page.get_by_role("button", name="Sign out"))
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    acts = [one for page_ in PAGES for one in page_.routes if one.acts]
    done = [unquote(path) for path in walker.sent_to]
    assert [one.pattern.pattern for one in acts if all(one.match(path) is None for path in done)] == [], (
        "without a walk"
    )
    assert {path for path in done if act_at(path) is None} == _AROUND
    assert keyboard.unseen == set()


async def _walk(walker: Walker) -> None:
    await _alerts(walker)
    await _errors_and_tasks(walker)
    await _queues_and_types(walker)
    await _breakers_and_workers(walker)
    await _keys(walker)


async def _alerts(walker: Walker) -> None:
    alert_id = await open_alert(walker.site, "no_worker:email", "email has no live worker.")
    await walker.goes(f"alerts/{alert_id}")
    await walker.does("Acknowledge", "Acknowledged by eve", "Known to nobody again", reason="I call", who="eve")
    await walker.does("Silence", "for 4 h.", "Told again from now on", seconds="4", reason="too loud")


async def _errors_and_tasks(walker: Walker) -> None:
    site, page, enter = walker.site, walker.keyboard.page, walker.keyboard.enter
    group_id = await put_group(site)
    victims = await put_victims(site, group_id, 3)
    await walker.goes(f"errors/{group_id}")
    await walker.does("Resolve", "Resolved: KeyError", "Open again: KeyError")
    await walker.does("Ignore", "Ignored: KeyError", "Open again: KeyError", per_hour="9", reason="known")

    await walker.goes(f"tasks/{victims[0]}")
    await walker.does("Run again", "It runs again", "Cancelled: shop.charge.", undo="Cancel the new one")
    await walker.goes(f"tasks/{victims[1]}")
    await enter(page.get_by_role("link", name="Run all victims of its error again…"))
    await expect(page.locator("main")).to_contain_text("2 tasks would run again")
    await walker.does("Run them again", "2 tasks run again so far", "put back", reason="mended", rate="0.01")
    for _ in range(2):
        await put(site, "queued", tags={"loop": "yes"})
    await walker.goes("tasks/many/cancel?tag=loop:yes")
    await walker.does("Cancel what waits", "cancelled so far: a loop", reason="a loop", rate="0.001")
    await walker.does("Stop", "It goes no further: 1 done.")

    task_id = await put(site, "scheduled", due_in=3600.0)
    await walker.goes(f"tasks/{task_id}")
    await walker.does("Run now", "Changed: due now.", "Changed: due ")
    for words in (_WHO, "change task", "Why"):
        await expect(page.get_by_role("region", name="What was done to it")).to_contain_text(words)
    await enter(page.get_by_role("link", name="Share…"))
    await walker.does("Make the link", "The link is shown this once.")
    await expect(page.locator("#shared")).to_contain_text(f"shared/{task_id}?")


async def _queues_and_types(walker: Walker) -> None:
    site, page = walker.site, walker.keyboard.page
    await walker.goes("types/shop.ship/submit")
    fields = {"arg:order": "7", "arg:to": "Ada", "queue": "maintenance"}
    await walker.does("Submit it", "Submitted: shop.ship.", **fields)
    task_id = await put(site, "succeeded", attempt=1, started=9, run_seconds=1.0)
    await walker.goes(f"tasks/{task_id}/submit")
    await walker.does("Submit it", "Submitted: shop.charge.", "Cancelled: shop.charge.", undo="Cancel it")

    await walker.goes("queues/maintenance")
    await walker.does("Pause", "maintenance is paused: they move.", "maintenance is resumed", reason="they move")
    await walker.goes("queues/maintenance/purge")
    await walker.does("Purge", "1 task of maintenance purged: no use.", typed="maintenance", reason="no use")
    await set_message_aside(site, "maintenance", "it is no JSON")
    await walker.goes("queues/set-aside/messages")
    await walker.does("Discard", "discarded: a script wrote it.", typed="discard", reason="a script wrote it")
    await expect(page.locator("main")).to_contain_text("No message was set aside.")


async def _breakers_and_workers(walker: Walker) -> None:
    site = walker.site
    await open_one(site, ("dependency", "crm"), 1)
    at = "breakers/dependency/crm"
    await walker.goes(at)
    await walker.does("Force open", "Forced open for 1 h", "Left to itself", reason="they migrate")
    await walker.goes(at)
    await walker.does("Disable", "Disabled for 1 h", "Left to itself", reason="our mistake")
    await walker.goes(at)
    await walker.does("Try it now", "It is tried now")
    await walker.does("Close it", "Closed: ", typed="close", reason="it is mended")
    await walker.goes(f"{at}/policy")
    await walker.does("Set the policy", "The policy is set", "It has the default policy again", reason="calmer")

    await put_worker(site, "email@host-2", queues=("email",))
    await walker.goes("workers/email%40host-2")
    await walker.does("Eject", "is taken off its queues", "takes from its queues again", reason="its disk is full")


async def _keys(walker: Walker) -> None:
    page, enter = walker.keyboard.page, walker.keyboard.enter
    await walker.goes("keys")
    await walker.does("Make it", "It is shown this once.", name="billing")
    await enter(page.get_by_role("link", name="What it may"))
    await walker.does("Limit", "billing may submit 100 tasks in 60 s.", rate="100/60s")
    await walker.does("Rotate", "It is shown this once.")
    await enter(page.get_by_role("link", name="What it may"))
    await walker.does("Revoke", "opens nothing more", typed="billing", reason="it leaked")
