"""The broker as worker nodes use it: kombu's Redis transport with a faster and safer way to fetch and acknowledge.

It speaks the format of kombu's own transport, so both may serve the same queues at the same time. ``SCHEMES`` are its
names in a broker URL. What it does otherwise:

- *Fetching* moves messages from their lists to the unacknowledged ones in one step (``fetch.lua``), several at a time
  and never more than the prefetch count allows; the queue listed first is emptied first. kombu's BRPOP does it in two
  steps, and a worker killed between them loses the message.
- *Waiting*: an idle node blocks on a bell of its queues, which publishers ring. Besides it looks once a second.
- *Acknowledgements* of a prefork node go with the next fetch or, when none follows, at the next turn of the event
  loop.
- The client object is kept: kombu builds one for every command.
"""

from kombu.transport import TRANSPORT_ALIASES

SCHEMES = {"redis": "pointsman", "rediss": "pointsmans", "redis+socket": "pointsman+socket"}
"""Celery's scheme to ours."""

_OF_CELERY = {ours: theirs for theirs, ours in SCHEMES.items()}
_TRANSPORT = "pointsman.transport.transport:Transport"


def register() -> None:
    """Make kombu know the schemes."""
    for scheme in SCHEMES.values():
        TRANSPORT_ALIASES[scheme.partition("+")[0]] = _TRANSPORT


def of_pointsman(url: str) -> str:
    """The URL of the broker that ``url`` names, by our transport."""
    scheme, separator, rest = url.partition("://")
    return SCHEMES.get(scheme, scheme) + separator + rest


def of_celery(url: str) -> str:
    """The URL of the broker that ``url`` names, for whoever knows only Celery's own schemes, as Flower does."""
    scheme, separator, rest = url.partition("://")
    return _OF_CELERY.get(scheme, scheme) + separator + rest
