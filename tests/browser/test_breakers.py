from typing import Any

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.breaker.entry import Entry
from tests.browser.conftest import Visitor
from tests.browser.filling_breakers import open_one, registry_of
from tests.browser.site import Site


async def entry_of(site: Site, name: str, scope: str = "dependency") -> Entry:
    entry = await registry_of(site).find((scope, name))
    assert entry is not None
    return entry


async def said(page: Any) -> str:
    text: str = await page.locator("#done").inner_text()
    return text


async def test_an_open_breaker_says_what_it_holds_its_error_and_what_comes_next(visitor: Visitor, full: Site) -> None:
    page = visitor.page
    await page.goto(full.url + "breakers")
    states = [await one.inner_text() for one in await page.locator("#trouble-rows .state").all()]
    assert states == sorted(states, key=["open", "half open", "forced open", "disabled"].index)
    row = page.locator("#trouble-rows tr", has_text="api.bank.example")
    told = await row.inner_text()
    for words in ("open", "4 since", "4 shop.charge", "ConnectTimeout", "no answer in 5 s", "5 times", "in "):
        assert words in told
    strip = await row.locator("svg.states").get_attribute("aria-label")
    assert strip is not None
    assert strip.startswith("closed for ")
    assert "; open since " in strip
    await row.get_by_role("link", name="api.bank.example").click()
    whole = await page.locator("#live-breaker").inner_text()
    for words in ("4 tasks are held", "The next to go", "5 failures in a row", "twice as many every five seconds"):
        assert words in whole
    assert await page.locator("#live-breaker tr", has_text="shop.charge").count() >= 4
    await page.locator(".said").get_by_role("link", name="ConnectTimeout").click()
    assert "/tasks/" in page.url
    await page.get_by_role("link", name="Look at the breaker that holds it").click()
    assert page.url.endswith("breakers/dependency/api.bank.example")


async def test_a_breaker_is_forced_open_for_a_while_and_the_undo_gives_back_what_was(
    plain_visitor: Visitor, full: Site
) -> None:
    page = plain_visitor.page
    await page.goto(full.url + "breakers/dependency/by-hand.example")
    assert "Nothing was ever reported" in await page.locator("#live-breaker").inner_text()
    await page.get_by_label("Reason").first.fill("they <move>")
    # Who has mistyped a name in the address would otherwise make a breaker that holds nothing.
    await page.get_by_label("It has no circuit breaker yet: make it").first.check()
    await page.get_by_role("button", name="Force open").click()
    assert "Forced open for 1 h" in await said(page)
    assert "by local: they <move>" in await page.locator("#live-breaker").inner_text()
    before = (await entry_of(full, "by-hand.example")).breaker.override
    assert before is not None
    assert before.expires_at is not None
    await page.get_by_role("button", name="Leave it to itself").click()
    assert (await entry_of(full, "by-hand.example")).breaker.override is None
    await page.locator("#done").get_by_role("button", name="Undo").click()
    again = (await entry_of(full, "by-hand.example")).breaker.override
    assert again is not None
    assert (again.state, again.reason) == (before.state, before.reason)
    assert abs((again.expires_at or 0) - before.expires_at) < 10
    await page.get_by_role("button", name="Leave it to itself").click()
    await page.locator("#by-hand [name=reason]").nth(1).fill("it counts our mistake")
    await page.get_by_role("button", name="Disable").click()
    assert (await entry_of(full, "by-hand.example")).breaker.seen == "disabled"
    await page.locator("#done").get_by_role("button", name="Undo").click()
    assert (await entry_of(full, "by-hand.example")).breaker.seen == "closed"


async def test_a_breaker_that_holds_tasks_is_closed_only_by_who_types_it(plain_visitor: Visitor, full: Site) -> None:
    await open_one(full, ("dependency", "closing.example"), 2)
    page = plain_visitor.page
    for typed, state in (("yes", "open"), ("close", "closed")):
        await page.goto(full.url + "breakers/dependency/closing.example")
        assert "2 held tasks would go to it at once" in await page.locator("#by-hand").inner_text()
        form = page.locator("form.danger")
        await form.get_by_label("Type close to go on").fill(typed)
        await form.get_by_label("Reason").fill("they say it is mended")
        await form.get_by_role("button", name="Close it").click()
        assert (await entry_of(full, "closing.example")).breaker.seen == state
    assert "What was held goes now: 10 a second at first" in await page.locator("#live-breaker").inner_text()
    await page.goto(full.url + "breakers")
    assert await page.locator("#trouble-rows tr", has_text="closing.example").count() == 1


async def test_a_policy_is_set_by_a_form_a_slip_is_shown_and_the_undo_gives_the_default_back(
    plain_visitor: Visitor, full: Site
) -> None:
    key = ("dependency", "policy.example")
    page = plain_visitor.page
    await page.goto(full.url + "breakers/dependency/policy.example")
    await page.get_by_role("link", name="Change the policy").click()
    await page.locator("[name=failure_threshold]").fill("many")
    await page.locator("[name=expected_exception]").fill("ConnectionError, httpx.ConnectTimeout")
    await page.get_by_role("button", name="Set the policy").click()
    assert "failure_threshold" in await page.locator("#faults").inner_text()
    assert await page.locator("[name=failure_threshold]").input_value() == "many"
    assert await registry_of(full).find(key) is None
    await page.locator("[name=failure_threshold]").fill("9")
    await page.get_by_role("button", name="Set the policy").click()
    wanted = BreakerPolicy(failure_threshold=9, expected_exception=("ConnectionError", "httpx.ConnectTimeout"))
    assert (await entry_of(full, "policy.example")).policy == wanted
    assert "its own" in await page.locator("#live-breaker").inner_text()
    await page.locator("#done").get_by_role("button", name="Undo").click()
    assert not (await entry_of(full, "policy.example")).has_own_policy
    await page.locator("#done").get_by_role("button", name="Undo").click()
    assert (await entry_of(full, "policy.example")).policy == wanted


async def test_a_policy_that_somebody_changed_meanwhile_is_not_overwritten(plain_visitor: Visitor, full: Site) -> None:
    key = ("dependency", "raced.example")
    page = plain_visitor.page
    await page.goto(full.url + "breakers/dependency/raced.example/policy")
    await registry_of(full).set_policy(key, BreakerPolicy(failure_threshold=7), None)
    await page.locator("[name=failure_threshold]").fill("9")
    await page.get_by_role("button", name="Set the policy").click()
    assert "somebody changed it meanwhile" in await page.locator("#faults").inner_text()
    assert (await entry_of(full, "raced.example")).policy.failure_threshold == 7


async def test_a_breaker_of_any_name_has_a_page_and_what_can_be_none_has_not(visitor: Visitor, full: Site) -> None:
    await open_one(full, ("task_type", "a/b <i>é"), 1, "a/b <i>é")
    page = visitor.page
    await page.goto(full.url + "breakers?scope=task_type")
    await page.get_by_role("link", name="a/b <i>é", exact=True).click()
    assert "1 task is held" in await page.locator("#live-breaker").inner_text()
    for path in ("breakers/no-scope/x", "breakers/dependency/no name"):
        answer = await page.goto(full.url + path)
        assert answer is not None
        assert answer.status == 404


async def test_an_installation_without_breakers_says_what_they_are(plain_visitor: Visitor, empty: Site) -> None:
    page = plain_visitor.page
    await page.goto(empty.url + "breakers")
    told = await page.locator("#live-trouble").inner_text()
    assert "A breaker guards a task type" in told
    assert 'dependencies=("api.example.com",)' in told
