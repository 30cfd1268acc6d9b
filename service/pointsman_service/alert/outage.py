"""PostgreSQL away: no row can be written, so this one alert is sent directly, and written down when it is over.

Redis holds what all processes have to know meanwhile: that it was noticed, and who was told. So one process sends, and
another goes on when it dies. With Redis away as well the last leader of the alerts sends, from its memory.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

import uuid_utils

from pointsman_contract import keys
from pointsman_service.alert.channels import Channels
from pointsman_service.alert.delivering import NotDelivered
from pointsman_service.alert.kinds import KINDS, Rule
from pointsman_service.alert.sweep import takers
from pointsman_service.alert.wording import Event, message_of
from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.loops import Loop
from pointsman_service.observe.explain import sentences
from pointsman_service.observe.kept import NotInTime, within
from pointsman_service.redis import BrokerAway, RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store import clock
from pointsman_service.store.alerts import alerts, deliveries
from pointsman_service.store.alerts.alerts import AlertRow
from pointsman_service.store.alerts.deliveries import NewDelivery
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_INTERVAL_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_LONGEST_LEFT_ALONE_SECONDS = 600.0
"""A receiver may ask for more; somebody has to hear of this."""
_KIND = KINDS[Rule.DATABASE_AWAY]
_UNTIL_IT_IS_BACK = (
    " Until it is back task states, counters and breakers are shown nowhere, and no other alert is opened."
)
_LINK = "/readyz?verbose"
_MESSAGE, _TOLD = "message:", "told:"


@dataclass(slots=True)
class _Outage:
    id: UUID
    since: datetime
    messages: dict[str, UUID] = field(default_factory=dict)
    """By channel, the id of its message."""
    told: dict[str, str] = field(default_factory=dict)
    """By channel, what the delivery came to."""
    reason: str = ""
    """What PostgreSQL said, if anything, when this was noticed."""

    @property
    def summary(self) -> str:
        """What is told."""
        return sentences.database_away(self.reason) + _UNTIL_IT_IS_BACK

    def as_alert(self) -> AlertRow:
        """What its row would be."""
        return AlertRow(
            id=self.id,
            key=Rule.DATABASE_AWAY,
            rule=Rule.DATABASE_AWAY,
            subject="",
            severity=_KIND.severity,
            summary=self.summary,
            value=None,
            bound=None,
            unit="",
            link=_LINK,
            since=self.since,
            opened_at=self.since,
            updated_at=self.since,
            resolved_at=None,
            notified_at=None,
            acked_at=None,
            acked_by=None,
            ack_reason=None,
            also=(),
            part_of=None,
            silenced_until=None,
        )


class OutageWatch:
    """Asks PostgreSQL once a second whether it is there. ``led``: whether this process was the last leader known.
    ``is_wanted``: whether it is asked at all, but for an outage that was noticed.
    """

    def __init__(
        self,
        store: Store,
        server: RedisServer,
        channels: Channels,
        settings: Settings,
        led: Callable[[], bool],
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._server = server
        self._channels = channels
        self._takers = takers(settings.alert_channels, _KIND.severity)
        self._base_url = settings.alert_base_url
        self._led = led
        self._is_wanted = is_wanted
        self._holder = uuid4().hex
        self._away_at: float | None = None
        self._reason = ""
        self._outage: _Outage | None = None
        self._looked_back = False
        self._tries: dict[str, int] = {}
        self._try_at: dict[str, float] = {}
        self.loop = Loop("outage watch", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Ask once; tell of an outage that goes on, or write down one that is over."""
        if self._outage is None and not self._is_wanted():
            self._away_at = None
            return False
        if await self._answers():
            self._away_at = None
            await self._end()
            return False
        now = time.monotonic()
        if self._away_at is None:
            self._away_at = now
        if now - self._away_at >= _KIND.hold_seconds:
            await self._announce(now)
        return False

    async def give_up(self) -> None:
        """Leave what this process was telling to the others at once, and not only when its lease has run out."""
        if self._outage is None:
            return
        try:
            if await self._server.command("GET", keys.OUTAGE_SENDER) == self._holder.encode():
                await self._server.command("DEL", keys.OUTAGE_SENDER)
        except BrokerAway as error:
            log.info("an outage is told by others only after a while", reason=str(error))

    async def _answers(self) -> bool:
        try:
            await within(_ANSWER_SECONDS, self._ask())
        except DatabaseAway as error:
            self._reason = error.said
            return False
        except (ExpectedFault, NotInTime):
            self._reason = ""
            return False
        return True

    async def _ask(self) -> None:
        async with self._store.statement() as connection:
            await clock.now(connection)

    async def _announce(self, now: float) -> None:
        if self._outage is None:
            ids = {channel.name: UUID(str(uuid_utils.uuid7())) for channel in self._takers}
            since = datetime.fromtimestamp(time.time() - (now - (self._away_at or now)), UTC)
            self._outage = _Outage(UUID(str(uuid_utils.uuid7())), since, ids, reason=self._reason)
            summary = self._outage.summary
            log.warning("an alert was opened", alert=Rule.DATABASE_AWAY, severity=_KIND.severity, summary=summary)
        if not await self._may_send(self._outage):
            return
        due = [
            channel.name
            for channel in self._takers
            if channel.name not in self._outage.told and now >= self._try_at.get(channel.name, 0.0)
        ]
        await asyncio.gather(*(self._send(self._outage, name) for name in due))

    async def _may_send(self, outage: _Outage) -> bool:
        """Agree with the other processes on one outage; whether this one is to send."""
        try:
            *_, found, _, holder = await self._server.pipeline(
                [
                    ("HSETNX", keys.OUTAGE, "id", str(outage.id)),
                    ("HSETNX", keys.OUTAGE, "since", outage.since.isoformat()),
                    ("HSETNX", keys.OUTAGE, "reason", outage.reason),
                    *(("HSETNX", keys.OUTAGE, _MESSAGE + name, str(one)) for name, one in outage.messages.items()),
                    ("EXPIRE", keys.OUTAGE, keys.OUTAGE_SECONDS),
                    ("HGETALL", keys.OUTAGE),
                    ("SET", keys.OUTAGE_SENDER, self._holder, "NX", "EX", keys.OUTAGE_SENDER_SECONDS),
                    ("GET", keys.OUTAGE_SENDER),
                ]
            )
        except BrokerAway:
            return self._led()
        shared = _read(found)
        if shared is None:
            # Nobody's outage: the next look shares ours.
            await self._server.command("DEL", keys.OUTAGE)
            return self._led()
        self._outage = shared
        shared.told |= outage.told
        if holder != self._holder.encode():
            return False
        # The lease must last longer than the attempt that follows.
        await self._server.command("EXPIRE", keys.OUTAGE_SENDER, keys.OUTAGE_SENDER_SECONDS)
        return True

    async def _send(self, outage: _Outage, name: str) -> None:
        message = message_of(outage.as_alert(), Event.OPENED, self._base_url)
        try:
            done = await self._channels.deliver(name, str(outage.messages[name]), outage.since, message)
        except NotDelivered as error:
            tries = self._tries[name] = self._tries.get(name, 0) + 1
            asked = min(error.retry_after_seconds, _LONGEST_LEFT_ALONE_SECONDS)
            self._try_at[name] = time.monotonic() + max(min(60.0, 2.0**tries), asked)
            if tries.bit_count() == 1:
                log.warning(
                    "a message about an alert was not delivered, trying again",
                    channel=name,
                    alert=Rule.DATABASE_AWAY,
                    attempts=tries,
                    reason=error.reason,
                )
            return
        outage.told[name] = done.status
        try:
            await self._server.command("HSET", keys.OUTAGE, _TOLD + name, done.status)
        except BrokerAway as error:
            log.info("that a channel was told is not shared with other processes", channel=name, reason=str(error))

    async def _end(self) -> None:
        """Write down what lasted while no row could be written."""
        if self._looked_back and self._outage is None:
            return
        try:
            found, sender = await self._server.pipeline([("HGETALL", keys.OUTAGE), ("GET", keys.OUTAGE_SENDER)])
        except BrokerAway:
            if self._outage is None:
                return
        else:
            if sender is not None and sender != self._holder.encode():
                # Who sends knows best who was told, and writes it down. Should it die, its lease ends.
                return
            self._looked_back = True
            shared = _read(found)
            if shared is not None:
                shared.told |= self._outage.told if self._outage is not None else {}
                self._outage = shared
        outage = self._outage
        if outage is None:
            return
        async with self._store.transaction() as connection:
            alert = await alerts.was(
                connection,
                outage.id,
                rule=Rule.DATABASE_AWAY,
                severity=_KIND.severity,
                summary=outage.summary,
                link=_LINK,
                since=outage.since,
                told=bool(outage.told),
            )
            if alert is not None:
                began = message_of(outage.as_alert(), Event.OPENED, self._base_url)
                over = message_of(alert, Event.RESOLVED, self._base_url)
                for name, status in outage.told.items():
                    sent = NewDelivery(alert.id, Event.OPENED, name, began)
                    await deliveries.add_sent(connection, outage.messages[name], sent, status, outage.since)
                await deliveries.add(
                    connection, [NewDelivery(alert.id, Event.RESOLVED, name, over) for name in outage.told]
                )
        if alert is not None:
            log.info("an alert was resolved", alert=alert.key, severity=alert.severity)
        self._outage, self._tries, self._try_at = None, {}, {}
        try:
            if await self._server.command("HGET", keys.OUTAGE, "id") == str(outage.id).encode():
                await self._server.command("DEL", keys.OUTAGE, keys.OUTAGE_SENDER)
        except BrokerAway:
            # Whoever reads it later finds its row written.
            self._looked_back = False


def _read(flat: list[bytes]) -> _Outage | None:
    """What the processes share; None when that is nothing, or nothing of theirs."""
    try:
        words = [word.decode() for word in flat]
        found = dict(zip(words[::2], words[1::2], strict=True))
        since = datetime.fromisoformat(found["since"])
        if since.tzinfo is None:
            return None
        return _Outage(
            UUID(found["id"]),
            since,
            {name.removeprefix(_MESSAGE): UUID(value) for name, value in found.items() if name.startswith(_MESSAGE)},
            {name.removeprefix(_TOLD): value for name, value in found.items() if name.startswith(_TOLD)},
            # A process of the release before shares none.
            found.get("reason", ""),
        )
    except (ValueError, KeyError):
        return None
