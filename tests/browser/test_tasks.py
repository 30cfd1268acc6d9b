"""The pages Tasks and Task: found, understood, acted on, with scripts and without."""

import json
from uuid import UUID

import httpx
import pytest
from playwright.async_api import Page, expect

from pointsman_service.callers import LOCAL, Caller
from pointsman_service.embedded.postgres import PostgresServer
from tests.browser.conftest import Visitor
from tests.browser.filling_errors import put_group, put_victims
from tests.browser.filling_tasks import new_id, put, put_attempt, put_failed, put_lines
from tests.browser.site import Site


async def said(page: Page) -> str:
    """What is said of what was done."""
    return await page.locator("#done").inner_text()


async def row_of(site: Site, task_id: UUID | str) -> dict[str, object]:
    """The row of a task, wherever it is."""
    for table in ("task_live", "task"):
        for row in await site.run(f"SELECT to_jsonb(t) AS row FROM {table} t WHERE id = :id", id=UUID(str(task_id))):
            found: dict[str, object] = row.row
            return found
    raise AssertionError(task_id)


def id_in(page: Page) -> str:
    """The id of the task that is shown."""
    return page.url.partition("?")[0].rpartition("/")[2]


async def test_a_list_is_narrowed_by_forms_and_links_and_its_address_says_so(
    plain_visitor: Visitor, full: Site
) -> None:
    page = plain_visitor.page
    tag = {"narrow": "yes", "tenant": "7"}
    for state in ("queued", "held", "queued"):
        await put(full, state, tags=tag, held_reason="breaker:dependency:smtp" if state == "held" else None)
    await page.goto(full.url + "tasks")
    await page.get_by_label("Tag").fill("narrow:yes")
    await page.get_by_role("button", name="Filter").click()
    assert await page.locator("#task-rows tr").count() == 3
    assert "3 tasks" in await page.locator("#count").inner_text()
    await page.get_by_role("link", name="held", exact=True).click()
    assert await page.locator("#task-rows tr").count() == 1
    assert "breaker of smtp is open" in await page.locator("#task-rows").inner_text()
    await page.get_by_label("Tag").fill("tenant:7")
    await page.get_by_role("button", name="Filter").click()
    assert [one in page.url for one in ("tag=narrow%3Ayes", "tag=tenant%3A7", "state=held")] == [True] * 3
    await page.get_by_role("link", name="narrow:yes").click()
    assert "narrow" not in page.url


async def test_an_address_has_nothing_that_narrows_nothing(visitor: Visitor, full: Site) -> None:
    await visitor.page.goto(full.url + "tasks")
    await visitor.page.get_by_label("Queue").select_option("reports")
    await visitor.page.get_by_role("button", name="Filter").click()
    await expect(visitor.page).to_have_url(full.url + "tasks?queue=reports")


async def test_a_list_goes_on_page_by_page_and_counts_no_further_than_it_says(visitor: Visitor, full: Site) -> None:
    for _ in range(3):
        await put(full, "queued", tags={"pages": "yes"})
    page = visitor.page
    await page.goto(full.url + "tasks?tag=pages:yes&limit=2")
    assert "3 tasks" in await page.locator("#count").inner_text()
    first = await page.locator("#task-rows tr").first.get_attribute("id")
    await page.get_by_role("link", name="Show older").click()
    assert await page.locator("#task-rows tr").count() == 1
    await page.get_by_role("link", name="Back to the newest").click()
    assert await page.locator("#task-rows tr").first.get_attribute("id") == first


async def test_what_waits_is_cancelled_by_one_key_and_runs_again_by_another(visitor: Visitor, full: Site) -> None:
    task_id = await put(full, "queued")
    page = visitor.page
    await page.goto(full.url + f"tasks/{task_id}")
    await page.get_by_role("button", name="Cancel", exact=True).press("Enter")
    assert "Cancelled: shop.charge." in await said(page)
    assert (await row_of(full, task_id))["state"] == "cancelled"
    await page.locator("#done").get_by_role("button", name="Run it again").press("Enter")
    assert "It runs again" in await said(page)
    assert (await row_of(full, id_in(page)))["replayed_from"] == str(task_id)


async def test_what_runs_is_cancelled_only_by_who_types_it_and_says_why(plain_visitor: Visitor, full: Site) -> None:
    task_id = await put(full, "running", attempt=1, started=5, worker="w@h")
    page = plain_visitor.page
    await page.goto(full.url + f"tasks/{task_id}")
    await page.get_by_role("link", name="Cancel…").click()
    for word, state in (("no", None), ("cancel", "asked")):
        await page.goto(full.url + f"tasks/{task_id}/cancel")
        await page.get_by_label("Type cancel to go on").fill(word)
        await page.get_by_label("Reason").fill("it hangs")
        await page.get_by_role("button", name="Cancel it").click()
        asked = (await row_of(full, task_id))["cancel_requested_at"]
        assert (asked is None) == (state is None)
    assert "To be cancelled" in await said(page)


async def test_what_failed_runs_again_edited_and_a_slip_is_shown_beside_what_was_typed(
    plain_visitor: Visitor, full: Site
) -> None:
    task_id = await put_failed(full)
    page = plain_visitor.page
    await page.goto(full.url + f"tasks/{task_id}")
    assert 'File "/srv/shop/orders.py", line 41' in await page.locator("#traceback-2").inner_text()
    await page.get_by_role("link", name="Edit and run again…").click()
    named = page.get_by_label("Named arguments")
    assert json.loads(await named.input_value()) == {"order": 90071992547409931}
    await named.fill('{"order": 8,}')
    await page.get_by_label("Reason").fill("the price was missing")
    await page.get_by_role("button", name="Run it again").click()
    assert "kwargs: this is no JSON" in await page.locator("#faults").inner_text()
    assert await named.input_value() == '{"order": 8,}'
    assert (await full.run("SELECT 1 FROM replayed_task WHERE task_id = :id", id=task_id)) == []
    await named.fill('{"order": 8}')
    await page.locator("[name=priority]").select_option("9")
    await page.get_by_role("button", name="Run it again").click()
    row = await row_of(full, id_in(page))
    assert (row["kwargs"], row["priority"], row["replayed_from"]) == ('{"order":8}', 9, str(task_id))
    await page.locator("#done").get_by_role("button", name="Cancel the new one").click()
    assert (await row_of(full, str(row["id"])))["state"] == "cancelled"
    await page.goto(full.url + f"tasks/{task_id}")
    assert await page.get_by_role("button", name="Run again").count() == 0


async def test_what_failed_runs_again_as_it_is_by_one_click(visitor: Visitor, full: Site) -> None:
    task_id = await put_failed(full)
    await visitor.page.goto(full.url + f"tasks/{task_id}")
    await visitor.page.get_by_role("button", name="Run again").click()
    assert "It runs again" in await said(visitor.page)
    row = await row_of(full, id_in(visitor.page))
    assert (row["kwargs"], row["replayed_from"]) == ('{"order": 90071992547409931}', str(task_id))


async def test_one_like_a_task_that_succeeded_is_submitted(plain_visitor: Visitor, full: Site) -> None:
    task_id = await put(full, "succeeded", attempt=1, started=9, run_seconds=1.0, worker="w@h")
    page = plain_visitor.page
    await page.goto(full.url + f"tasks/{task_id}")
    await page.get_by_role("link", name="Submit such a task again…").click()
    await page.get_by_role("button", name="Submit it").click()
    assert "Submitted: shop.charge." in await said(page)
    row = await row_of(full, id_in(page))
    assert (row["kwargs"], row["tags"]) == ('{"order":90071992547409931}', {"tenant": "42"})


async def test_what_waits_is_changed_and_changed_back(plain_visitor: Visitor, full: Site) -> None:
    task_id = await put(full, "scheduled", due_in=3600.0)
    page = plain_visitor.page
    await page.goto(full.url + f"tasks/{task_id}")
    await page.get_by_role("link", name="Change…").click()
    await page.get_by_label("Queue").select_option("email")
    await page.locator("[name=priority]").select_option("2")
    await page.get_by_label("Reason").fill("the customer waits")
    await page.get_by_role("button", name="Change it").click()
    assert "Changed: queue email, priority 2." in await said(page)
    row = await row_of(full, task_id)
    assert (row["queue"], row["priority"]) == ("email", 2)
    await page.locator("#done").get_by_role("button", name="Undo").click()
    row = await row_of(full, task_id)
    assert (row["queue"], row["priority"]) == ("reports", 6)


async def test_what_is_due_later_runs_now_and_later_after_all(visitor: Visitor, full: Site) -> None:
    task_id = await put(full, "scheduled", due_in=3600.0)
    due = (await row_of(full, task_id))["due_at"]
    page = visitor.page
    await page.goto(full.url + f"tasks/{task_id}")
    await page.get_by_role("button", name="Run now").click()
    assert (await row_of(full, task_id))["state"] == "queued"
    await page.locator("#done").get_by_role("button", name="Undo").click()
    row = await row_of(full, task_id)
    assert row["state"] == "scheduled"
    assert str(row["due_at"])[:19] == str(due)[:19]


async def test_everything_that_matches_is_counted_then_cancelled_then_put_back(
    plain_visitor: Visitor, full: Site
) -> None:
    tags = {"mistake": "yes"}
    for _ in range(2):
        await put(full, "queued", tags=tags)
    await put(full, "running", tags=tags, attempt=1, started=3, worker="w@h")
    await put(full, "cancelled", tags=tags)
    page = plain_visitor.page
    await page.goto(full.url + "tasks?tag=mistake:yes")
    await page.get_by_role("link", name="Cancel them all…").click()
    shown = await page.locator("main").inner_text()
    assert "2 tasks would be cancelled." in " ".join(shown.split())
    assert "1 task running: left alone" in shown
    assert "1 task cancelled already" in shown
    form = page.locator("form", has=page.get_by_role("button", name="Cancel what waits"))
    await form.get_by_label("Reason").fill("sent by mistake")
    await form.get_by_role("button", name="Cancel what waits").click()
    assert "2 tasks cancelled so far: sent by mistake" in await said(page)
    shown = await page.locator("#live-act").inner_text()
    assert "Cancel: 2 tasks" in shown
    assert "sent by mistake" in shown
    await page.locator("#live-act").get_by_role("button", name="Undo").click()
    assert "Undone: 2 of 2 put back so far." in await said(page)
    waiting = await full.run(
        "SELECT 1 FROM task_live WHERE tags @> CAST(:tags AS jsonb) AND state = 'queued'", tags=json.dumps(tags)
    )
    assert len(waiting) == 2


async def test_everything_that_failed_runs_again_at_a_rate_and_is_stopped(visitor: Visitor, full: Site) -> None:
    for _ in range(3):
        await put_failed(full, tags={"victims": "yes"})
    page = visitor.page
    await page.goto(full.url + "tasks?state=failed&tag=victims:yes")
    await page.get_by_role("link", name="Run them all again…").click()
    await page.get_by_label("Reason").fill("mended")
    await page.get_by_label("Rate: tasks a second").fill("0.01")
    await page.get_by_role("button", name="Run them again").press("Enter")
    assert "3 tasks run again so far: mended" in await said(page)
    assert "0.01 a second" in await page.locator("#live-act").inner_text()
    await page.locator("#done").get_by_role("button", name="Undo").click()
    assert "put back" in await said(page)
    await page.goto(full.url + "tasks/acts")
    assert "mended" in await page.locator("#act-rows tr").first.inner_text()


async def test_a_walk_that_has_a_rate_is_stopped_where_it_is(visitor: Visitor, full: Site) -> None:
    for _ in range(3):
        await put(full, "queued", tags={"slow": "yes"})
    page = visitor.page
    await page.goto(full.url + "tasks/many/cancel?tag=slow:yes")
    await page.get_by_label("Reason").first.fill("no more of these")
    await page.get_by_label("Rate: tasks a second").first.fill("0.001")
    await page.get_by_role("button", name="Cancel what waits").click()
    await page.locator("#live-act").get_by_role("button", name="Stop").click()
    assert "It goes no further: 1 done." in await said(page)


async def test_a_filter_that_no_act_can_have_is_not_widened(plain_visitor: Visitor, full: Site) -> None:
    page = plain_visitor.page
    for path in ("tasks/many/cancel", "tasks/many/cancel?state=failed", "tasks/many/retry?tag=a:b:c"):
        answer = await page.goto(full.url + path)
        assert answer is not None
        assert answer.status == 422
        assert await page.locator("main form").count() == 0


async def test_a_search_for_an_id_shows_its_task(visitor: Visitor, full: Site) -> None:
    task_id = await put(full, "queued")
    page = visitor.page
    await page.goto(full.url + "alerts")
    await page.keyboard.press("/")
    await page.keyboard.type(f"{full.origin}/v1/tasks/{task_id}")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(full.url + f"tasks/{task_id}")
    await page.goto(full.url + "search?q=shop.cha")
    await page.get_by_role("link", name="shop.charge").first.click()
    await expect(page).to_have_url(full.url + "tasks?task_type=shop.charge")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("not-an-id", "This is no id of a task"),
        ("01900000-0000-7000-8000-000000000000", "it has been removed by its age"),
        ("6fa459ea-ee8a-4ca4-894e-db77e160355e", "No task has an id of this kind"),
    ],
)
async def test_a_task_that_is_not_there_says_why(plain_visitor: Visitor, full: Site, path: str, says: str) -> None:
    answer = await plain_visitor.page.goto(full.url + f"tasks/{path}")
    assert answer is not None
    assert (answer.status, says in await plain_visitor.page.locator("main").inner_text()) == (404, True)
    answer = await plain_visitor.page.goto(full.url + f"tasks/{new_id()}")
    assert answer is not None
    assert answer.status == 404
    assert "none was stored under it" in await plain_visitor.page.locator("main").inner_text()


async def test_what_a_task_wrote_is_read_from_a_level_on(plain_visitor: Visitor, full: Site) -> None:
    task_id = await put(full, "running", attempt=2, started=5, worker="w@h")
    await put_attempt(full, task_id, 1, 30, 5, "OSError: no")
    await put_lines(full, task_id, 1, [("info", "first try")])
    await put_lines(full, task_id, 2, [("info", "begun <b>bold</b>"), ("warning", "slow"), ("error", "gone")])
    page = plain_visitor.page
    await page.goto(full.url + f"tasks/{task_id}")
    await page.get_by_role("link", name="Logs").click()
    assert "begun <b>bold</b>" in await page.locator(".lines").inner_text()
    await page.get_by_label("At least").select_option("warning")
    await page.get_by_role("button", name="Filter").click()
    assert await page.locator(".lines li").count() == 2
    await page.locator("[name=attempt]").select_option("1")
    await page.get_by_label("At least").select_option("")
    await page.get_by_role("button", name="Filter").click()
    assert "first try" in await page.locator(".lines").inner_text()


async def test_progress_and_lines_come_while_somebody_looks(visitor: Visitor, full: Site) -> None:
    task_id = await put(full, "running", attempt=1, started=5, worker="w@h")
    page, other = visitor.page, await visitor.tab()
    await page.goto(full.url + f"tasks/{task_id}")
    await other.goto(full.url + f"tasks/{task_id}/logs")
    for one in (page, other):
        await expect(one.locator("#stream-state")).to_have_text("live")
    progress = json.dumps({"state": "PROGRESS", "current": 3, "total": 4, "note": "page 3", "at": 1_795_940_000})
    await full.run("UPDATE task_live SET progress = :progress WHERE id = :id", id=task_id, progress=progress)
    await put_lines(full, task_id, 1, [("info", "page 3 is done")])
    await expect(page.locator(".progress")).to_contain_text("75 %, page 3")
    await expect(other.locator(".lines")).to_contain_text("page 3 is done")


async def test_new_tasks_are_asked_for_while_somebody_is_at_the_list(visitor: Visitor, full: Site) -> None:
    await put(full, "queued", tags={"steady": "yes"})
    page = visitor.page
    await page.goto(full.url + "tasks?tag=steady:yes")
    await page.keyboard.press("j")
    here = await page.evaluate("document.activeElement.href")
    await put(full, "queued", tags={"steady": "yes"})
    await expect(page.locator("#held")).to_have_text("1 new: show")
    assert await page.locator("#task-rows tr").count() == 1
    await page.keyboard.press("r")
    assert await page.locator("#task-rows tr").count() == 2
    assert await page.evaluate("document.activeElement.href") == here


async def test_who_may_only_look_sees_no_payload_and_no_button_and_is_refused(
    full: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    group_id = await put_group(full, task_type="shop.rights")
    (failed, _), waits = await put_victims(full, group_id, 2), await put(full, "queued")
    await put_lines(full, failed, 2, [("info", "a secret of the customer")])
    async with httpx.AsyncClient(base_url=full.url) as client:
        page = (await client.get(f"tasks/{waits}")).text
        token = page.partition('data-token="')[2].partition('"')[0]
        assert "Run all victims of its error again" in (await client.get(f"tasks/{failed}")).text
        reader = Caller("reader", LOCAL.known_by, acts=frozenset(), reads_payloads=False)
        monkeypatch.setattr("pointsman_service.front.callers.LOCAL", reader)
        hidden = ("price_cents", "90071992547409931", "tenant", "a secret of the customer")
        for path in (f"tasks/{failed}", f"tasks/{failed}/logs", f"tasks/{waits}", "tasks?task_type=shop.charge"):
            shown = (await client.get(path)).text
            main = shown.partition("<main")[2].partition("</main>")[0]
            assert [word for word in hidden if word in main] == [], path
            assert 'method="post"' not in main, path
            assert "victims" not in main, path
        form = {"token": token, "how": "waiting"}
        assert (await client.post(f"tasks/{waits}/cancel", data=form)).status_code == 403
        assert (await client.post("tasks/many/cancel?queue=reports", data=form)).status_code == 403
    assert (await row_of(full, waits))["state"] == "queued"


async def test_tasks_are_shown_without_redis_and_it_is_said_why_they_wait(
    plain_visitor: Visitor, postgres: PostgresServer, migrated_template: str
) -> None:
    database = postgres.start().create_database(template=migrated_template)
    async with Site(database, "redis://127.0.0.1:1/0") as site:
        task_id = await put(site, "queued")
        page = plain_visitor.page
        for path in ("tasks", f"tasks/{task_id}", f"tasks/{task_id}/logs", "tasks/many/cancel?queue=reports"):
            answer = await page.goto(site.url + path)
            assert answer is not None
            assert answer.status == 200, path
        await page.goto(site.url + f"tasks/{task_id}")
        assert "The broker does not answer" in await page.locator(".sentence").inner_text()
        await page.get_by_role("button", name="Cancel", exact=True).click()
        assert "Cancelled: shop.charge." in await said(page)
        assert "by local" in await page.locator(".way").inner_text()
