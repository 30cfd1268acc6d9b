"""Breakers in every state with what they hold, for whoever looks at them."""

from uuid import UUID

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.breaker.breaker import BreakerState, Kind, Outcome, Override, Step
from pointsman_service.breaker.entry import Entry
from pointsman_service.breaker.last_error import Said
from pointsman_service.breaker.registry import Registry
from tests.browser.filling_tasks import put
from tests.browser.site import Site

BANK = ("dependency", "api.bank.example")
_FAILED = Outcome(Kind.FAILURE, error=("ConnectTimeout",), said=Said("ConnectTimeout", "no answer in 5 s"))


def registry_of(site: Site) -> Registry:
    """All breakers of an installation."""
    return Registry(site.store, site.settings)


async def open_one(site: Site, key: tuple[str, str], held: int = 0, task_type: str = "shop.charge") -> list[UUID]:
    """A breaker that has opened by itself, and so many tasks that it holds; their ids."""
    await registry_of(site).record(key, [_FAILED] * 5)
    reason = f"breaker:{key[0]}:{key[1]}"
    return [await put(site, "held", held=90, held_reason=reason, task_type=task_type) for _ in range(held)]


async def fill_breakers(site: Site) -> None:
    """Open, half open, forced open by somebody, disabled, closed with a policy of its own."""
    registry = registry_of(site)
    (task_id, *_) = await open_one(site, BANK, 3)
    await site.run(
        "UPDATE breaker SET last_error = jsonb_set(last_error, '{task_id}', to_jsonb(CAST(:id AS text)))"
        " WHERE name = 'api.bank.example'",
        id=str(task_id),
    )
    await open_one(site, ("task_type", "shop.remind"))
    await registry.set_policy(("dependency", "crm"), BreakerPolicy(recovery_timeout=0.001, recovery_jitter=0), None)
    await open_one(site, ("dependency", "crm"), 1, "shop.remind")
    for name, state in (("smtp", BreakerState.FORCED_OPEN), ("maps", BreakerState.DISABLED)):

        def forced(entry: Entry, now: float, state: BreakerState = state) -> Step:
            return entry.breaker.force(Override(state, "ada", "they move <b>today</b>", now + 3600), now)

        await registry.change(("dependency", name), forced)
    policy = BreakerPolicy(failure_threshold=10, window_seconds=60, failure_rate=0.5)
    await registry.set_policy(("dependency", "db.example.org:5432"), policy, None)
    await registry.record(("dependency", "db.example.org:5432"), [_FAILED, Outcome(Kind.SUCCESS), _FAILED])
