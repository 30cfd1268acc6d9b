"""A connection to the broker that fetches several messages in one step."""

import hashlib
import logging
import secrets
import time
from collections.abc import Iterable
from typing import Any

from kombu.transport import redis as stock
from kombu.utils.encoding import bytes_to_str
from redis.exceptions import NoScriptError

from pointsman.transport.envelope import NotAMessage, check, opened
from pointsman.transport.left_behind import left_behind
from pointsman.transport.qos import QoS as Holdings
from pointsman.transport.setting_aside import as_text, command, reason_of
from pointsman_contract.keys import BELL_PREFIX, FETCH_PREFIX, LISTENER_BELL_PREFIX
from pointsman_contract.lua import source
from pointsman_contract.set_aside import UNKNOWN_QUEUE

logger = logging.getLogger(__name__)

_FETCH = source("fetch")
_DIGEST = hashlib.sha1(_FETCH.encode(), usedforsecurity=False).hexdigest()
_MOST_MESSAGES = 64
"""In one fetch, when the prefetch count sets no limit."""
_MOST_RINGS = 64


class Channel(stock.Channel):
    """kombu's, but it fetches as ``pointsman.transport`` says when all its queues have bells.

    A channel that consumes any other queue, or without acknowledgements, works as kombu's.
    """

    QoS = Holdings
    from_transport_options = (*stock.Channel.from_transport_options, "queues_with_bells")

    queues_with_bells: Iterable[str] = ()
    """Whoever publishes on one of these through us, or through ``publish.lua``, rings."""
    checks_envelopes = True
    """Whether only what ``pointsman.transport.envelope`` accepts is delivered."""
    queue_in_hand = ""
    """The queue of the message that is being delivered."""

    connection: Any
    connection_errors: Any
    client: Any
    pool: Any
    active_queues: Any
    qos: Holdings

    def __init__(self, *args: Any, **options: Any) -> None:
        self._name = secrets.token_hex(8)
        self._kept_client: Any = None
        self._without_acknowledgement: set[str] = set()
        self._knows_script = False
        self._number = 0
        self._asked = 0
        """Most messages of the fetch on its way; 0: none is."""
        self._unanswered = False
        """Whether Redis may have done a fetch whose answer never came."""
        self._shall_fetch = True
        self._listens: list[str] = []
        super().__init__(*args, **options)
        self.left_behind = left_behind(self.connection.client)
        self._bells = frozenset(self.queues_with_bells)

    @property
    def is_fetching(self) -> bool:
        """Whether the answer of a fetch is on its way. It never takes long."""
        return bool(self._in_poll and self._asked)

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)
        pool = self.pool
        if self._kept_client is None or self._kept_client.connection_pool is not pool:
            self._kept_client = super()._create_client()
        return self._kept_client

    # Consuming

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **options: Any) -> Any:
        """Consume from ``queue``."""
        if no_ack:
            self._without_acknowledgement.add(queue)
        return super().basic_consume(queue, no_ack, *args, **options)

    def _brpop_start(self, timeout: Any = None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        if not self._bells.issuperset(queues) or not self._without_acknowledgement.isdisjoint(queues):
            super()._brpop_start(timeout)
            return
        if self.left_behind:
            self._settle_left_behind()
        connection = self.client.connection
        if self._shall_fetch or self.qos.owes:
            words = self._fetch_words(queues)
        else:
            words = self._wait_words(queues, timeout or self.brpop_timeout or 0)
        self._in_poll = connection
        self._brpop_sent_at = time.monotonic()
        connection.send_command(*words)

    def _fetch_words(self, queues: list[str]) -> list[Any]:
        self._asked = self.qos.can_consume_max_estimate() or _MOST_MESSAGES
        self._number += 1
        self._unanswered = True
        command = ("EVALSHA", _DIGEST) if self._knows_script else ("EVAL", _FETCH)
        keys = (self.unacked_key, self.unacked_index_key, FETCH_PREFIX + self._name)
        last_step = self.priority_steps[-1]
        return [
            *command, len(keys), *keys, self._name, self._number, self._asked, last_step, len(queues), *queues,
            *self.qos.take_owed(),
        ]  # fmt: skip

    def _wait_words(self, queues: list[str], seconds: float) -> list[Any]:
        """The bells come first: who hears one fetches, whatever else has arrived."""
        words: list[Any] = ["BRPOP"]
        listened = [queue for queue in queues if queue in self._listens]
        words += (LISTENER_BELL_PREFIX + queue for queue in listened)
        words += (BELL_PREFIX + queue for queue in queues if queue not in listened)
        words += (self._q_for_pri(queue, step) for queue in listened for step in self.priority_steps)
        return [*words, seconds]

    def _brpop_read(self, **_: Any) -> Any:
        asked, self._asked = self._asked, 0
        try:
            answer = self.client.connection.read_response()
        except NoScriptError:
            self._knows_script = False
            raise stock.Empty from None
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if asked:
            return self._fetched(answer, asked)
        self._shall_fetch = True
        if answer is None:
            raise stock.Empty
        key, item = answer
        return self._popped(bytes_to_str(key), item)

    def _fetched(self, answer: list[Any], asked: int) -> bool:
        self._knows_script = True
        self._unanswered = False
        self.qos.settle()
        self._listens = [bytes_to_str(queue) for queue in answer[0]]
        messages = [(answer[i].decode(), answer[i + 1].decode(), answer[i + 2]) for i in range(1, len(answer), 3)]
        self._shall_fetch = len(messages) == asked
        for _, tag, _ in messages:
            if tag:
                self.qos.hold(tag)
        if not messages:
            raise stock.Empty
        if not self._closing:
            for queue, tag, item in messages:
                self._hand_over(queue, tag, item)
        return True

    def _hand_over(self, queue: str, tag: str, item: bytes) -> None:
        if not tag:
            logger.error("%d bytes on queue %s are set aside: %s", int(item), queue, "nothing can be read there")
        elif queue not in self.connection._callbacks:
            # Its consumer was cancelled meanwhile.
            self.qos.release(tag)
        else:
            self.queue_in_hand = queue
            try:
                self.connection._deliver(opened(item), queue)
            except Exception as error:
                # What fails once the message is open is not the message's fault.
                if not self.qos.is_unopened(tag):
                    raise
                self._set_aside(queue, tag, item, reason_of(error))

    def _popped(self, key: str, item: bytes) -> bool:
        """A bell rang, or, of a publisher who rings none, a message came as with kombu."""
        for prefix in (BELL_PREFIX, LISTENER_BELL_PREFIX):
            if key.startswith(prefix):
                queue = key.removeprefix(prefix)
                if queue not in self.active_queues:
                    self._ring_alone(queue)
                raise stock.Empty
        queue = self.queue_in_hand = key.rsplit(self.sep, 1)[0]
        try:
            envelope = opened(item)
            self.Message(envelope, channel=self)
        except Exception as error:
            self._set_aside(queue, "", item, reason_of(error))
        else:
            self.connection._deliver(envelope, queue)
        return True

    def _deliver_fanout_message(self, message: Any, exchange: Any) -> Any:
        """Remote control and events. What is none of them is worth a line, and not the node."""
        try:
            check(message)
        except NotAMessage as error:
            logger.error("what came over %s is no message and is dropped: %s", exchange, error)
            return True
        return super()._deliver_fanout_message(message, exchange)

    # Setting aside

    def _set_aside(self, queue: str, tag: str, item: bytes, reason: str) -> None:
        """Raises what the client raises; the message then stays where it is."""
        logger.error("%d bytes on queue %s are set aside: %s", len(item), queue, reason)
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            pipe.execute_command(*command(queue, tag, item, reason))
            pipe.execute()
        if tag:
            self.qos.let_go(tag)

    def set_aside_held(self, tag: str, reason: str) -> None:
        """Set a message aside that lies among the unacknowledged and cannot be given back."""
        with self.conn_or_acquire() as client:
            item = client.hget(self.unacked_key, tag)
        self._set_aside(UNKNOWN_QUEUE, tag, item or b"", reason)

    # Publishing

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        if queue not in self._bells or queue in self._expires:
            super()._put(queue, message, **options)
            return
        batch = options.get("_publish_batch")
        if batch is not None:
            super()._put(queue, message, **options)
            for name, *words in _ring(queue):
                batch.add(name, *words)
            return
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            self._ring_with(pipe, queue)
            step = self._get_message_priority(message, reverse=False)
            pipe.lpush(self._q_for_pri(queue, step), stock.dumps(message))
            pipe.execute()

    def _do_restore_message(
        self, payload: Any, exchange: Any, routing_key: Any, pipe: Any, leftmost: bool = False
    ) -> None:
        try:
            check(payload)
        except NotAMessage as error:
            # kombu would lose it here.
            queue, item = routing_key if routing_key in self._bells else UNKNOWN_QUEUE, as_text(payload)
            logger.error("%d bytes on queue %s are set aside: %s", len(item), queue, error)
            pipe.execute_command(*command(queue, "", item, str(error)))
            return
        payload["headers"] = payload.get("headers") or {}
        for queue in self._lookup(exchange, routing_key):
            if queue in self._bells:
                self._ring_with(pipe, queue)
        super()._do_restore_message(payload, exchange, routing_key, pipe, leftmost)

    def _ring_with(self, pipe: Any, queue: str) -> None:
        for name, *words in _ring(queue):
            getattr(pipe, name)(*words)

    def _ring_alone(self, queue: str) -> None:
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            self._ring_with(pipe, queue)
            pipe.execute()

    # Closing

    def close(self) -> None:
        """Give back what is held, also messages whose fetch was never answered."""
        if self._in_poll and not self._asked and self._bells.issuperset(self.active_queues):
            self._end_wait()
        if self._unanswered and not self._in_poll and not self.closed:
            self._hold_unanswered()
        super().close()

    def _hold_unanswered(self) -> None:
        """The connection was lost between a fetch and its answer: what it took is ours to give back."""
        try:
            tags = self._taken_by(self._name, self._number)
        except Exception as error:
            logger.debug("what the last fetch took is left to the next connection: %s", error)
            self.left_behind.fetches.append((self._name, self._number))
        else:
            for tag in tags:
                self.qos.hold(tag)
        self._unanswered = False

    def _taken_by(self, name: str, number: int) -> list[str]:
        with self.conn_or_acquire() as client:
            last, *tags = bytes_to_str(client.get(FETCH_PREFIX + name) or b"").split("\n")
        return tags if last == str(number) else []

    def _settle_left_behind(self) -> None:
        left = self.left_behind
        self.qos.owe(left.acknowledged)
        left.acknowledged = []
        while left.fetches:
            left.held += self._taken_by(*left.fetches[-1])
            left.fetches.pop()
        while left.held:
            self.qos.restore_by_tag(left.held[-1])
            left.held.pop()

    def _end_wait(self) -> None:
        """Let the answer come that kombu reads before it closes."""
        try:
            for queue in self.active_queues:
                self._ring_alone(queue)
        except self.connection_errors as error:
            logger.debug("a closing connection could not be woken: %s", error)


def _ring(queue: str) -> list[tuple[Any, ...]]:
    """The commands that wake who waits for a message. Any number of bells may ring, but they must not pile up."""
    return [
        ("lpush", LISTENER_BELL_PREFIX + queue, 1),
        ("ltrim", LISTENER_BELL_PREFIX + queue, 0, 0),
        ("lpush", BELL_PREFIX + queue, 1),
        ("ltrim", BELL_PREFIX + queue, 0, _MOST_RINGS - 1),
    ]
