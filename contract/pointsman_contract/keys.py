"""Every Redis key that is ours, with its type and lifetime. Kombu's own keys are named by kombu.

The scripts derive claim and stream keys from these prefixes, so Redis Cluster is not supported.
"""

CONTROL = "pointsman:control"
"""Hash, for ever: ``epoch``, ``run_id`` of the server it was declared on, ``open`` (1 once the census is over),
``memory_percent`` of maxmemory, ``recorded`` (``<epoch>/<stream id>``: the recorder's committed position),
``contract`` (the version that the control plane speaks), ``lines`` (1 once somebody reads ``LINES``),
``pause:<queue>`` (``<revision>:1`` when it is paused, ``<revision>:0`` when it no longer is)."""

SEQUENCE = "pointsman:sequence"
"""Hash, for ever: ``<list key>`` to the number of the last message published on it."""

WINDOW = "pointsman:window"
"""Hash, rewritten every pass of the dispatcher: queue to ``{"limit", "waiting"}``."""

FORECAST = "pointsman:forecast"
"""String, ten seconds from when it was last made: what is expected of each queue, as JSON. One process makes it, all
read it; without it nothing is predicted."""

BEATS = "pointsman:beats"
"""Hash, a field per worker parent, removed an hour after it fell silent: owner to its last beat
(``pointsman_contract.events``).
"""

EJECTED = "pointsman:ejected"
"""Hash, for ever: a field for each node that is off its queues, and ``EJECTED_KNOWN``. Rewritten from Postgres."""

EJECTED_KNOWN = "."
"""A field that is there when the hash says who is ejected. No node has this name; without it nobody knows."""

BREAKERS = "pointsman:breakers"
"""Hash, rewritten from Postgres: circuit breaker to what the gate must know of it (``breaker_entry``)."""

BREAKER_FAILURES = "pointsman:breaker_failures"
"""Hash: circuit breaker to its failures in a row, none after a success."""

CLAIM_PREFIX = "pointsman:claim:"
"""Hash per task: ``state``, ``attempt``, ``token``, ``owner``, ``reason``. A running claim does not expire; a finished
one is kept ``CLAIM_SECONDS``."""

ONCE_PREFIX = "pointsman:once:"
"""Hash per task that names steps to be done once: key of the step to its record (``pointsman.run.once``). Kept so long
after it was last written."""

EVENTS_PREFIX = "pointsman:events:"
"""Stream per epoch, trimmed behind the recorder, deleted when the next epoch's stream is being read."""

LINES = "pointsman:lines"
"""Stream, ``run_log.LINES_SECONDS`` from its last entry: what managed runs wrote (``run_log``), until it is recorded.
At most ``run_log.MOST_ENTRIES`` entries, of no epoch."""

RECORDED = "pointsman:recorded"
"""Stream of one entry, ``RECORDED_SECONDS`` from the last: written with each batch that was recorded while somebody
listens to tasks, so that its reader need not ask when."""

BELL_PREFIX = "pointsman:bell:"
"""List per queue, at most 64 entries: one for each message that an idle worker may come and fetch. Deleted with the
last message of its queue. The scripts know this name and the next two."""

LISTENER_PREFIX = "pointsman:listener:"
"""String per queue, 3 s: which of the idle workers also looks after publishers that ring no bell."""

LISTENER_BELL_PREFIX = "pointsman:listener_bell:"
"""List per queue, at most one entry: the listener's own bell, which keeps it from taking a message in two steps."""

FETCH_PREFIX = "pointsman:fetch:"
"""String per worker connection, ten minutes from its last fetch: the number of that fetch and the delivery tags in its
answer, should the answer be lost on the way."""

SET_ASIDE = "pointsman:set_aside"
"""Stream, for ever: messages that nobody could run, the newest ``set_aside.MOST_KEPT``, until an operator
discards them. ``fetch.lua`` knows this name and the next."""

SET_ASIDE_COUNTS = "pointsman:set_aside_counts"
"""Hash, for ever: ``total:<queue>`` how many were ever set aside there, ``open:<queue>`` how many of them nobody has
discarded."""

VISIBILITY_TIMEOUT = "pointsman:visibility_timeout"
"""String, ``VISIBILITY_SECONDS`` from the last beat of any worker: the visibility timeout that all of them have."""

OUTAGE = "pointsman:outage"
"""Hash, ``OUTAGE_SECONDS`` from its last change, while the service cannot reach PostgreSQL: ``id`` and ``since`` of the
alert, ``message:<channel>`` the id of its message, ``told:<channel>`` once it has it."""

OUTAGE_SENDER = "pointsman:outage:sender"
"""String, ``OUTAGE_SENDER_SECONDS``: which process of the service sends that alert."""

RATE_PREFIX = "pointsman:rate:"
"""Hash per caller that has a rate, a minute from when it was last asked, or until all its permits are back: ``full``
(when that is, in Unix microseconds of this server), and each process that asked lately with when it did, below 0 where
it wanted more."""

OUTAGE_SECONDS = 7 * 86_400
"""How long an outage is remembered that nobody could write down."""

OUTAGE_SENDER_SECONDS = 60
"""Longer than one attempt may take."""

RECORDED_SECONDS = 60
"""How long a bell that nobody rings is kept."""

VISIBILITY_SECONDS = 60
"""How long workers that are gone still say which visibility timeout they had."""

CLAIM_SECONDS = 600
"""How long a finished claim is kept."""

ASK_SECONDS = CLAIM_SECONDS - 60
"""A message older than this that finds no claim must ask: its claim may have been finished and forgotten."""


def claim(task_id: str) -> str:
    """The claim of one task."""
    return CLAIM_PREFIX + task_id


def once(task_id: str) -> str:
    """The steps of one task."""
    return ONCE_PREFIX + task_id


def rate(caller: str) -> str:
    """The rate of one caller."""
    return RATE_PREFIX + caller


def events(epoch: int) -> str:
    """The event stream of one epoch."""
    return f"{EVENTS_PREFIX}{epoch}"
