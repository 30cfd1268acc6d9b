"""What the shop submits: each kind with its weight, its queue by its task type, its caller and its tags. Pure."""

import random
from collections.abc import Callable
from typing import Any, Final

Submission = dict[str, Any]

PRICED: Final = "shop.confirm_order"
"""The task type that cannot take an order without prices."""
EXPIRES_AFTER_SECONDS: Final = 1200
"""Nobody wants a task of the demo later than so: what waits when the demo is stopped goes by itself."""
_OFFERS: Final = 220
_STATEMENTS: Final = 5
_TENANTS: Final = ("40", "41", "42", "43", "44")
_NAMES: Final = ("ada", "grace", "edsger", "barbara", "alan", "margaret", "dennis", "radia")


def _order(rng: random.Random) -> int:
    return rng.randint(10_000, 99_999)


def _items(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {"article": rng.randint(1, 500), "price_cents": rng.randint(199, 9900), "number": rng.randint(1, 3)}
        for _ in range(rng.randint(1, 4))
    ]


def _confirm(rng: random.Random) -> Submission:
    return {"task_type": PRICED, "kwargs": {"order": _order(rng), "items": _items(rng)}}


def _charge(rng: random.Random) -> Submission:
    return {"task_type": "shop.charge", "kwargs": {"order": _order(rng), "price_cents": rng.randint(199, 30_000)}}


def _receipt(rng: random.Random) -> Submission:
    to = f"{rng.choice(_NAMES)}@example.org"
    return {"task_type": "shop.send_receipt", "kwargs": {"order": _order(rng), "to": to}}


def _block(rng: random.Random) -> Submission:
    return {"task_type": "shop.block_card", "kwargs": {"card": rng.randint(0, 9999)}}


def _remind(rng: random.Random) -> Submission:
    later = {"delay_seconds": rng.randint(20, 240)}
    return {"task_type": "shop.remind_of_cart", "kwargs": {"customer": _order(rng)}, **later}


def _rates(rng: random.Random) -> Submission:
    return {"task_type": "shop.fetch_rates", "kwargs": {"currency": rng.choice(("USD", "GBP", "CHF", "JPY"))}}


def _drop(rng: random.Random) -> Submission:
    return {"task_type": "shop.drop_carts", "kwargs": {"older_than_days": rng.choice((14, 30, 90))}}


def _index(rng: random.Random) -> Submission:
    return {"task_type": "shop.index_articles", "kwargs": {"articles": rng.randint(1000, 9000)}}


def _statement(rng: random.Random) -> Submission:
    return {"task_type": "shop.write_statement", "kwargs": {"customer": _order(rng), "pages": rng.randint(3, 9)}}


_MIX: Final[tuple[tuple[float, str, Callable[[random.Random], Submission]], ...]] = (
    (30, "checkout", _confirm),
    (22, "checkout", _charge),
    (20, "checkout", _receipt),
    (7, "fraud-watch", _block),
    (6, "back-office", _remind),
    (6, "back-office", _rates),
    (5, "back-office", _drop),
    (1.2, "back-office", _statement),
    (0.4, "back-office", _index),
)
"""Weights, who asks, and for what. Reports of a weight of one keep their one process busy a third of the time."""


def _tagged(rng: random.Random, submission: Submission, source: str, **tags: str) -> Submission:
    return {**submission, "tags": {"source": "demo", "from": source, "tenant": rng.choice(_TENANTS), **tags}}


def next_submission(rng: random.Random, *, prices_missing: bool = False) -> Submission:
    """One submission of the mix. With ``prices_missing`` some come from a partner, whose orders lack their prices."""
    if prices_missing and rng.random() < 0.12:
        order = _confirm(rng)
        for item in order["kwargs"]["items"]:
            del item["price_cents"]
        return _tagged(rng, order, "partner", partner="northwind")
    weights = [weight for weight, _, _ in _MIX]
    _, source, make = rng.choices(_MIX, weights)[0]
    return _tagged(rng, make(rng), source)


def offers(rng: random.Random) -> list[Submission]:
    """The mails of a campaign: more at once than their queue can start within its target."""
    campaign = f"spring-{rng.randint(1, 99)}"
    made = ({"task_type": "shop.send_offer", "kwargs": {"customer": n, "campaign": campaign}} for n in range(_OFFERS))
    return [_tagged(rng, one, "marketing", campaign=campaign) for one in made]


def statements(rng: random.Random) -> list[Submission]:
    """Long reports, due at once."""
    return [_tagged(rng, _statement(rng), "back-office") for _ in range(_STATEMENTS)]
