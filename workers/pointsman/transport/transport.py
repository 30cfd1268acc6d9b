"""The transport itself, as kombu loads it for one of our schemes."""

from typing import Any

from kombu.transport import redis as stock

from pointsman.transport.channel import Channel


class Poller(stock.MultiChannelPoller):
    """kombu's; before each wait for events it sends the acknowledgements that found no fetch to go with."""

    _channels: Any
    _chan_to_sock: dict[Any, Any]
    _loop: Any = None

    def __init__(self) -> None:
        super().__init__()
        self._added: dict[int, Any] = {}

    def watch_in(self, loop: Any) -> None:
        """From now on ``fds`` are only those that the event loop does not watch yet; kombu adds all again each turn."""
        self._loop = loop

    @property
    def fds(self) -> dict[int, Any]:
        """The sockets to watch, by descriptor."""
        found: dict[int, Any] = super().fds
        if self._loop is None:
            return found
        # A descriptor may be another socket's by now.
        sockets = {sock.fileno(): sock for sock in self._chan_to_sock.values()}
        watched, added = self._loop.readers, self._added
        new = {
            fd: channel for fd, channel in found.items() if fd not in watched or added.get(fd) is not sockets.get(fd)
        }
        if new:
            added.update((fd, sockets.get(fd)) for fd in new)
        return new

    def on_poll_start(self) -> None:
        """The event loop is about to wait."""
        super().on_poll_start()
        for channel in self._channels:
            if channel.qos.owes and not channel.is_fetching:
                channel.qos.flush()


class Transport(stock.Transport):
    """kombu's Redis transport with our channel and poller."""

    Channel = Channel

    defers_acknowledgements = False
    """Whether an acknowledgement may wait for the next turn of the event loop. Only while one turns, and only where no
    task body runs in it.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cycle = Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """The connection is going to be read by an event loop."""
        super().register_with_event_loop(connection, loop)
        self.cycle.watch_in(loop)

    def defer_acknowledgements(self, deferred: bool) -> None:
        """Say whether they may wait. When not, none is left waiting; raises what the client raises."""
        self.defers_acknowledgements = deferred
        if not deferred:
            for channel in self.channels:
                channel.qos.flush()
