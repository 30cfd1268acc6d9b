"""What a full installation has to show. Each page adds what it needs: one function a subject."""

import time
from uuid import UUID

from pointsman_service.callers import CONSOLE
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from pointsman_service.store.alerts import alerts, deliveries
from pointsman_service.store.alerts.alerts import NewAlert
from pointsman_service.store.alerts.deliveries import NewDelivery
from tests.browser.filling_breakers import fill_breakers
from tests.browser.filling_errors import fill_errors
from tests.browser.filling_queues import fill_queues
from tests.browser.filling_tasks import fill_tasks
from tests.browser.site import Site

OPEN = "breaker_open:dependency:api.bank.example"
"""The key of the open alert that tests act on."""


async def fill(site: Site) -> None:
    """Everything."""
    await fill_alerts(site)
    await fill_tasks(site)
    await fill_errors(site)
    await fill_breakers(site)
    await fill_queues(site)
    await fill_keys(site)


async def fill_keys(site: Site) -> None:
    """A key, and who made it."""
    wanted = WantedKey("billing", preset="submitter", task_types=["shop.charge"])
    await KeyHand(site.store).create(CONSOLE, wanted, "each service has its own")


async def fill_alerts(site: Site) -> None:
    """Three that are open, one that is over, messages and a silence."""
    await open_alert(site, OPEN, "The circuit breaker of dependency api.bank.example is open: its calls are held.")
    await open_alert(
        site, "no_worker:reports", "reports has no live worker since 08:33. 18 tasks wait.", severity="page",
        also=("backlog_old:reports",),
    )  # fmt: skip
    await open_alert(site, "dead_letters:shopc.poisoned", "5 tasks of shopc.poisoned failed for good within 10 min.")
    over = await open_alert(site, "broker_away", "The broker does not answer: nothing starts.", severity="page")
    async with site.store.transaction() as connection:
        told = await deliveries.add(
            connection, [NewDelivery(over, "opened", "on-call", {}), NewDelivery(over, "opened", "mail", {})]
        )
        await alerts.resolve(connection, {over: None})
        await alerts.silence(connection, "dead_letters", 3600.0, "ada", "known: the fix is on its way")
    await site.run(
        "UPDATE alert_delivery SET status = 'sent', attempts = 1, last_status = '200', ended_at = now() WHERE id = :id",
        id=told[0].id,
    )
    await site.run("UPDATE alert_delivery SET attempts = 3, error = 'no answer in 10 s' WHERE id = :id", id=told[1].id)


async def open_alert(
    site: Site, key: str, summary: str, *, severity: str = "ticket", also: tuple[str, ...] = ()
) -> UUID:
    """One more that is open; its id."""
    rule, _, subject = key.partition(":")
    new = NewAlert(
        key=key, rule=rule, subject=subject, severity=severity, summary=summary, value=None, bound=None, unit="",
        link="/v1/alerts", since=time.time() - 240, also=also,
    )  # fmt: skip
    async with site.store.transaction() as connection:
        (made,) = await alerts.open_new(connection, [new])
    return made.id
