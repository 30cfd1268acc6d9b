from tests.browser.conftest import Visitor
from tests.browser.filling import open_alert
from tests.browser.site import Site


async def test_a_silence_is_one_click_and_its_undo_another(visitor: Visitor, full: Site) -> None:
    await open_alert(full, "backlog_old:email", "email: the oldest task waits for 4 min.")
    page = visitor.page
    await page.goto(full.url + "alerts")
    await page.get_by_role("button", name="Silence 1 h: email: the oldest").click()

    assert "Nobody is told of backlog_old:email for 1 h." in await page.locator("#done").inner_text()
    assert await full.run("SELECT 1 FROM alert_silence WHERE matcher = 'backlog_old:email' AND until > now()")
    await page.locator("#done").get_by_role("button", name="Undo").click()
    assert "Told again from now on" in await page.locator("#done").inner_text()
    assert not await full.run("SELECT 1 FROM alert_silence WHERE matcher = 'backlog_old:email' AND until > now()")
