"""A shop that sells nothing: the task types of ``./scripts/up --demo``. Not offered unless ``POINTSMAN_TASK_MODULES``
names this module.

They sleep instead of working, and write what such tasks would write. Its bank is played by the demo, at ``DEMO_URL``.
"""

import json
import logging
import os
import random
import time
from http.client import HTTPConnection
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field

from pointsman.app import app
from pointsman.bases import CriticalTask, EmailTask, ExternalAPITask, MaintenanceTask, ReportTask
from pointsman.errors import PermanentError, WorkerError
from pointsman_contract.configuration import DEMO_URL

BANK = "api.bank.example"
RATES = "rates.example"
_ANSWER_SECONDS = 5.0
log = logging.getLogger("shop")

OrderNumber = Annotated[int, Field(ge=1, description="Its number.")]
Cents = Annotated[int, Field(ge=1, description="In hundredths of the currency.")]


class BankUnavailable(WorkerError):
    """The bank answers, and serves nobody."""


class NoBank(PermanentError):
    """Nobody plays the bank: these tasks run beside ``./scripts/up --demo``."""


def _work(shortest: float, longest: float) -> None:
    # Most are quick and a few are not, as with work that is real.
    time.sleep(shortest + (longest - shortest) * random.random() ** 3)  # noqa: S311 - how long a demo sleeps


@app.task(name="shop.block_card", base=CriticalTask)
def block_card(card: Annotated[int, Field(ge=0, le=9999)]) -> dict[str, int]:
    """Blocks a card that was reported as stolen."""
    _work(0.01, 0.1)
    return {"blocked": card}


@app.task(name="shop.confirm_order", queue="high_priority", max_retries=1, default_retry_delay=3)
def confirm_order(order: OrderNumber, items: list[dict[str, Any]]) -> dict[str, int]:
    """Adds up an order and tells its buyer that it is on its way."""
    _work(0.02, 0.15)
    total = sum(item["price_cents"] * item.get("number", 1) for item in items)
    return {"order": order, "total_cents": total}


@app.task(name="shop.send_receipt", base=EmailTask)
def send_receipt(order: OrderNumber, to: str) -> dict[str, str]:
    """Sends the receipt of an order."""
    _work(0.03, 0.2)
    log.info("receipt of order %d sent to %s", order, to)
    return {"sent_to": to}


@app.task(name="shop.send_offer", base=EmailTask, keep_logs=False)
def send_offer(customer: int, campaign: str) -> None:
    """Sends an offer to one of very many."""
    log.debug("offer of %s to %d", campaign, customer)
    _work(0.06, 0.14)


@app.task(name="shop.remind_of_cart", base=EmailTask)
def remind_of_cart(customer: int) -> dict[str, int]:
    """Reminds somebody of what they left in their cart, some time after they left it."""
    _work(0.03, 0.2)
    return {"customer": customer}


@app.task(name="shop.charge", base=ExternalAPITask, bind=True, dependencies=(BANK,), max_retries=0)
def charge(self: Any, order: OrderNumber, price_cents: Cents, currency: str = "EUR") -> dict[str, Any]:
    """Charges an order to its buyer's card. Not tried twice: only the bank knows whether a call that failed has."""
    with self.calling(BANK):
        receipt = _ask_bank({"order": order, "price_cents": price_cents, "currency": currency})
    log.info("order %d charged: %s", order, receipt["receipt"])
    return receipt


@app.task(name="shop.fetch_rates", base=ExternalAPITask, bind=True, dependencies=(RATES,))
def fetch_rates(self: Any, currency: str) -> dict[str, Any]:
    """Fetches the rate of a currency. Whom it asks hangs up now and then, so it is tried again."""
    with self.calling(RATES):
        _work(0.05, 0.4)
        if random.random() < 0.06:  # noqa: S311 - chance of a demo
            log.info("%s hung up, attempt %d", RATES, self.attempt)
            raise ConnectionResetError(f"{RATES} closed the connection")
    return {"currency": currency, "rate": round(random.uniform(0.8, 1.3), 4)}  # noqa: S311 - likewise


@app.task(name="shop.write_statement", base=ReportTask, bind=True)
def write_statement(self: Any, customer: int, pages: Annotated[int, Field(ge=1, le=60)] = 8) -> dict[str, Any]:
    """Writes what a customer bought in a month, page by page, and says how far it is."""
    for page in range(1, pages + 1):
        self.raise_if_cancelled()
        _work(0.6, 1.6)
        self.progress(page, pages, f"page {page}")
        log.info("page %d of %d: %d lines", page, pages, random.randint(12, 60))  # noqa: S311 - likewise
    return {"customer": customer, "pages": pages}


@app.task(name="shop.index_articles", base=MaintenanceTask, bind=True)
def index_articles(self: Any, articles: Annotated[int, Field(ge=1)] = 2000) -> dict[str, int]:
    """Builds the search index anew, slowly."""
    parts = 20
    for part in range(1, parts + 1):
        self.raise_if_cancelled()
        _work(0.6, 1.4)
        self.progress(articles * part // parts, articles, "articles")
    log.info("%d articles indexed", articles)
    return {"articles": articles}


@app.task(name="shop.drop_carts", base=MaintenanceTask)
def drop_carts(older_than_days: Annotated[int, Field(ge=1)] = 30) -> dict[str, int]:
    """Drops carts that nobody came back for."""
    _work(0.1, 0.8)
    dropped = random.randint(0, 40)  # noqa: S311 - likewise
    log.info("%d carts dropped that were older than %d days", dropped, older_than_days)
    return {"dropped": dropped}


def _ask_bank(charge: dict[str, Any]) -> dict[str, Any]:
    """The bank's answer to a call over HTTP. Raises ``NoBank``, ``BankUnavailable`` or what a connection raises."""
    where = urlsplit(os.environ.get(DEMO_URL, ""))
    if where.hostname is None:
        raise NoBank(f"{DEMO_URL} is not set: nobody plays {BANK}")
    connection = HTTPConnection(where.hostname, where.port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("POST", "/charges", json.dumps(charge), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 201:
        raise BankUnavailable(f"{answer.status} {answer.reason}: {said['detail']}")
    receipt: dict[str, Any] = said
    return receipt
