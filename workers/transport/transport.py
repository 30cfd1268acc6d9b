"""The transport itself, as kombu loads it for one of our schemes."""

from typing import Any

from kombu.transport import redis as stock

from workers.transport.channel import Channel


class Poller(stock.MultiChannelPoller):
    """kombu's; before each wait for events it sends the acknowledgements that found no fetch to go with."""

    _channels: Any

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

    def defer_acknowledgements(self, deferred: bool) -> None:
        """Say whether they may wait. When not, none is left waiting; raises what the client raises."""
        self.defers_acknowledgements = deferred
        if not deferred:
            for channel in self.channels:
                channel.qos.flush()
