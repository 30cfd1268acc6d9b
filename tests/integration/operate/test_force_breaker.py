"""Setting a breaker by hand, when what follows the commit fails."""

from pydantic import SecretStr

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.breaker.registry import Registry
from pointsman_service.callers import LOCAL
from pointsman_service.database import create_engine
from pointsman_service.embedded.ports import HOST, free_port
from pointsman_service.operate.force_breaker import BreakerHand
from pointsman_service.store.store import Store
from tests.integration.spine import Spine

SMTP = ("dependency", "smtp")


async def test_what_is_committed_is_answered_though_the_database_goes_before_redis_is_told(spine: Spine) -> None:
    registry = Registry(spine.store, spine.settings)
    nobody = f"postgresql+asyncpg://app@{HOST}:{free_port()}/app"
    gone = Store(create_engine(spine.settings.model_copy(update={"database_url": SecretStr(nobody)}), "gone"))
    hand = BreakerHand(registry, gone, spine.server, spine.settings)
    entry = await hand.force(LOCAL, SMTP, BreakerState.FORCED_OPEN, "they migrate", None)
    assert entry.breaker.seen is BreakerState.FORCED_OPEN
    policy = BreakerPolicy(failure_threshold=7)
    assert (await hand.set_policy(LOCAL, SMTP, policy, None, None)).policy == policy
    stored = await registry.find(SMTP)
    assert stored is not None
    assert (stored.breaker.seen, stored.policy) == (BreakerState.FORCED_OPEN, policy)
    await gone.close()
