from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from pointsman_contract.addresses import EVERYWHERE
from pointsman_service.alert.channels import Channels
from pointsman_service.alert.lookout import Lookout
from pointsman_service.alert.notifier import Notifier
from pointsman_service.alert.sweep import AlertSweep
from pointsman_service.breaker.breaker import Kind, Outcome
from pointsman_service.breaker.last_error import Said
from pointsman_service.breaker.registry import Registry
from pointsman_service.channel_settings import AlertChannel
from pointsman_service.settings import Settings
from tests.integration.read.conftest import application, fronted
from tests.integration.spine import Spine
from tests.peers.http import HTTPPeer
from tests.unit.alert.words import webhook


class Alerting:
    """The alerts of one installation, run by hand. Its leaders can be many; each has what it has seen to itself."""

    def __init__(self, spine: Spine, *channels: AlertChannel, **settings: Any) -> None:
        changed = {"alert_channels": channels, "alert_allow_http": True, "alert_allow_private_targets": EVERYWHERE}
        self.settings: Settings = spine.settings.model_copy(update=changed | settings)
        self.spine = spine
        self.known_since: float | None = None
        """Since when it was known who leads; None: it is not."""
        self.channels = Channels(self.settings)
        self.sweep = self.another_sweep()
        self.notifier = self.another_notifier()

    def another_sweep(self) -> AlertSweep:
        return AlertSweep(
            self.spine.store,
            Lookout(self.spine.store, self.spine.broker, self.spine.server, self.settings, lambda: self.known_since),
            self.settings,
        )

    def another_notifier(self) -> Notifier:
        return Notifier(self.spine.store, self.channels, self.settings, draw=lambda: 1.0)

    async def deliver(self) -> None:
        """Send what is due now, to its end."""
        under_way = True
        while under_way:
            under_way = await self.notifier.single_pass() or bool(self.notifier._under_way)
            await self.notifier.settle()

    async def look(self) -> None:
        """One pass of the sweep, and of the notifier."""
        await self.sweep.single_pass()
        await self.deliver()

    async def trip(self, name: str = "smtp", said: Said | None = None) -> None:
        """Let the breaker of a dependency open."""
        failure = Outcome(Kind.FAILURE, said=said)
        await Registry(self.spine.store, self.settings).record(("dependency", name), [failure] * 5)

    async def close(self, name: str = "smtp") -> None:
        """Let it close, long enough ago."""
        await self.spine.run(
            "UPDATE breaker SET seen = 'closed', machine = '{}', turns_at = NULL WHERE name = :name", name=name
        )

    async def resolve(self, name: str = "smtp") -> None:
        """Let it close and its alert end, without the wait against flapping."""
        await self.close(name)
        await self.sweep.single_pass()
        self.sweep._over_since = dict.fromkeys(self.sweep._over_since, float("-inf"))
        await self.sweep.single_pass()

    async def rows(self) -> list[dict[str, Any]]:
        """Every alert, the oldest first."""
        return await self.spine.rows("SELECT * FROM alert ORDER BY id")

    async def deliveries(self) -> list[dict[str, Any]]:
        """Every message, the oldest first."""
        return await self.spine.rows("SELECT * FROM alert_delivery ORDER BY id")

    async def let_time_pass(self) -> None:
        """As if every message that waits for its next attempt had waited."""
        await self.spine.run("UPDATE alert_delivery SET next_at = now() WHERE status = 'pending'")


@pytest.fixture
def http_peer() -> Iterator[HTTPPeer]:
    with HTTPPeer() as peer:
        yield peer


@pytest.fixture
def hook(http_peer: HTTPPeer) -> AlertChannel:
    """A webhook that leads to the peer."""
    return webhook(url=f"{http_peer.url}/hook", timeout_seconds=2)


@pytest.fixture
def alerting(closed_spine: Spine, hook: AlertChannel) -> Alerting:
    """Alerts with one webhook."""
    return Alerting(closed_spine, hook)


@pytest.fixture
async def api(alerting: Alerting) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API with these alerts' settings."""
    app = application(alerting.spine)
    app.state.parts.settings = alerting.settings
    transport = httpx.ASGITransport(fronted(app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://pointsman") as client:
        yield client
