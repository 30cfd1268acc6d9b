"""``python -m pointsman_service explain``: why a task is where it is, or why nothing of a queue starts faster."""

import json
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import typer

from pointsman_service.broker import Broker
from pointsman_service.database import create_engine
from pointsman_service.errors import UnknownTask
from pointsman_service.observe.explain.explanation import Explanation, Reason
from pointsman_service.observe.spans import ago, ahead
from pointsman_service.observe.views import Views
from pointsman_service.operate.pause import check_queue
from pointsman_service.redis import BrokerAway, RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store

_WIDTH = 110
_REDIS_SECONDS = 2.0
_CLEARS = {True: "that ends by itself", False: "that does not end by itself"}


async def explain_task(settings: Settings, task_id: str) -> Explanation:
    """Why this task is where it is. Raises ``UnknownTask`` and the store's errors."""
    try:
        wanted = UUID(task_id)
    except ValueError:
        raise UnknownTask from None
    async with _Asking(settings) as views:
        found = await views.explainer.of_task(wanted)
    if found is None:
        raise UnknownTask
    return found


async def explain_queue(settings: Settings, queue: str) -> tuple[str, Explanation] | None:
    """The task of this queue that is next, and why it waits; None when none waits. Raises ``UnknownQueueName`` and the
    store's errors.
    """
    check_queue(settings.topology, queue)
    async with _Asking(settings) as views:
        found = await views.explainer.of_queue(queue)
    return None if found is None else (str(found[0]), found[1])


class _Asking:
    """The views of one question, and the connections that it takes."""

    def __init__(self, settings: Settings) -> None:
        self._store = Store(create_engine(settings, "pointsman explain"))
        names = [queue.name for queue in settings.topology.queues]
        seconds = min(settings.redis_timeout_seconds, _REDIS_SECONDS)
        self._servers = [RedisServer(settings.require_redis_url(), seconds, settings.trust) for _ in range(2)]
        broker = Broker(self._servers[0], names, settings.dispatch_memory_percent)
        self._views = Views.over(settings, self._store, broker, self._servers[1])

    async def __aenter__(self) -> Views:
        with suppress(BrokerAway):
            await self._views.predictions.single_pass()
        return self._views

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()
        for server in self._servers:
            await server.close()


def show_task(task_id: str, found: Explanation, *, as_json: bool) -> None:
    """Print it."""
    if as_json:
        _print(_document(task_id, found))
    else:
        _tell(found)


def show_queue(queue: str, found: tuple[str, Explanation] | None, *, as_json: bool) -> None:
    """Print it."""
    if as_json:
        _print({"queue": queue, "next_task": None if found is None else _document(*found)})
    elif found is None:
        typer.echo(f"No task of {queue} is due and waits.")
    else:
        typer.echo(f"Next on {queue}: task {found[0]}")
        _tell(found[1])


def _document(task_id: str, found: Explanation) -> dict[str, object]:
    # Here: only who wants the API's document needs the web framework that it is written with.
    from pointsman_service.api.explain import explanation_view

    return explanation_view(task_id, found)


def _print(document: object) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _tell(found: Explanation) -> None:
    typer.echo(typer.style(_filled(found.root.sentence, "", ""), bold=True))
    for label, text in _lines(found):
        typer.echo(_filled(text, f"  {label:<12}", " " * 14))


def _filled(text: str, first: str, others: str) -> str:
    # Ids and links stay whole, to be copied.
    return textwrap.fill(
        text, _WIDTH, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def _lines(found: Explanation) -> Iterator[tuple[str, str]]:
    yield "cause", _cause(found.root, found)
    if found.root.expected_at is not None:
        yield "expected", ahead(found.root.expected_at, found.as_of)
    yield "what to do", found.root.what_to_do
    yield "see", found.root.documentation
    yield "about", found.root.link
    for one in found.also:
        yield "also", f"{one.sentence} {one.what_to_do}"


def _cause(root: Reason, found: Explanation) -> str:
    since = [] if root.since is None else [ago(root.since, found.as_of)]
    clears = [] if root.clears_itself is None else [_CLEARS[root.clears_itself]]
    return ", ".join([str(root.cause), *since, *clears])
