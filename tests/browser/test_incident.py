"""An incident as somebody meets it: from the alarm to what is mended, by clicks."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.browser.conftest import Visitor
from tests.browser.shop import Shop
from tests.stand.waiting import SLOWEST, until

TOLD_WITHIN_SECONDS = 5.0
CLICKS_TO_A_TRACEBACK = 2
CLICKS_TO_REPLAY_ITS_VICTIMS = 3
_CHARGES = 12
_SOLD_ON = 5
_FAILED = "state = 'failed' AND NOT EXISTS (SELECT 1 FROM replayed_task WHERE task_id = task.id AND NOT undone)"

pytestmark = pytest.mark.acceptance


@pytest.fixture
async def shop(
    postgres: PostgresServer, migrated_template: str, redis_of_browser: ValkeyServer, tmp_path: Path
) -> AsyncIterator[Shop]:
    async with Shop(postgres.start().create_database(template=migrated_template), redis_of_browser, tmp_path) as opened:
        yield opened


class Hand:
    """Somebody's, that counts its clicks."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0

    async def begin(self, url: str) -> None:
        """Look at the first page."""
        await self.page.goto(url)
        await expect(self.page.locator("#stream-state")).to_have_text("live")
        self.clicks = 0

    async def click(self, what: Locator) -> None:
        """Once."""
        await what.click()
        self.clicks += 1


async def bottom_of(what: Locator) -> float:
    """Where it ends, in pixels from the top of the window."""
    box = await what.bounding_box()
    assert box is not None
    return box["y"] + box["height"]


async def test_a_dependency_that_begins_to_fail_is_told_in_the_first_screen_and_its_victims_run_again_by_three_clicks(
    visitor: Visitor, shop: Shop
) -> None:
    hand, page = Hand(visitor.page), visitor.page
    assert page.viewport_size == {"width": 1280, "height": 800}
    for task_id in await shop.charge(2):
        assert (await shop.stack.finished(task_id))["state"] == "succeeded"
    await hand.begin(shop.url)
    await expect(page.locator("#live-causes")).to_contain_text("All is well")

    # The alarm: nobody touches the page.
    shop.bank.fails = True
    began = time.monotonic()
    charged = await shop.charge(_CHARGES)
    cause = page.locator("#causes article", has_text="api.bank.example").first
    told = re.compile(
        r"api\.bank\.example has failed.*"
        r"BankUnavailable: 503 Service Unavailable: no database connection is left.*"
        r"\d+ calls.*"
        r"tasks? (is|are) held \(\d+ shop\.charge\).*"
        r"It is tried (again|now)",
        re.DOTALL,
    )
    await expect(cause).to_have_text(told, timeout=SLOWEST * TOLD_WITHIN_SECONDS * 1000)
    assert time.monotonic() - began <= SLOWEST * TOLD_WITHIN_SECONDS
    assert await bottom_of(cause) <= 800
    assert await page.evaluate("window.scrollY") == 0

    # Its traceback, while it goes on.
    await hand.click(page.locator("#live-news").get_by_role("link", name="BankUnavailable"))
    traceback = page.locator("#traceback")
    await expect(traceback).to_contain_text("raise BankUnavailable(")
    assert await bottom_of(traceback) <= 800
    assert hand.clicks <= CLICKS_TO_A_TRACEBACK
    await page.go_back()
    await hand.click(cause.get_by_role("link", name="BankUnavailable").first)
    await expect(page.locator("main")).to_contain_text("raise BankUnavailable(")
    await expect(page.get_by_role("link", name="Run all victims of its error again…")).to_be_visible()

    # It mends itself once the bank is back.
    await hand.begin(shop.url)
    shop.bank.fails = False
    # The shop sells on. How many were held depends on how fast the machine is, and a breaker wants some calls to close.
    charged += await shop.charge(_SOLD_ON)
    await expect(page.locator("#live-causes")).not_to_contain_text(
        "api.bank.example has failed", timeout=SLOWEST * 30_000
    )
    lost = await shop.stack.rows(f"SELECT id::text AS id FROM task WHERE {_FAILED}")
    assert 0 < len(lost) < len(charged)

    # Its victims run again.
    await hand.begin(shop.url)
    await hand.click(page.locator("#live-news").get_by_role("link", name="BankUnavailable"))
    await hand.click(page.get_by_role("link", name="Run its victims again"))
    await expect(page.locator("main")).to_contain_text(f"{len(lost)} tasks would run again")
    await page.get_by_label("Reason").fill("the bank is back")
    await hand.click(page.get_by_role("button", name="Run them again"))
    assert hand.clicks <= CLICKS_TO_REPLAY_ITS_VICTIMS
    await expect(page.locator("#done")).to_contain_text(f"{len(lost)} tasks run again so far")

    async def mended() -> bool:
        (left,) = await shop.stack.rows(
            f"SELECT (SELECT count(*) FROM task_live) + (SELECT count(*) FROM task WHERE {_FAILED}) AS tasks"
        )
        return bool(left["tasks"] == 0)

    await until(mended, "every charge to be made")
    (paid,) = await shop.stack.rows("SELECT count(*) AS tasks FROM task WHERE state = 'succeeded'")
    assert paid["tasks"] == len(charged) + 2
