"""The task types this process knows, so that a submission is checked without asking the database."""

import asyncio
import time
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import jsonschema_rs

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.formats import FORMATS
from pointsman_contract.queues import QueueSpec
from pointsman_service.admit.carrying import holds_more_than
from pointsman_service.admit.route_names import misspelt
from pointsman_service.admit.routing import By, decide, route
from pointsman_service.errors import FAULTS_SHOWN, FieldError, InvalidArguments, UnknownTaskType
from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.workers import catalogue
from pointsman_service.telemetry import logger

log = logger(__name__)

_REFRESH_SECONDS = 2.0
_ASK_AGAIN_SECONDS = 0.25
_VALUES_SEARCHED = 1000
"""In arguments of more values only the first fault is told: the validator would find all of them first, and keep a copy
of each."""
_MOST_PLACES = 500


class KnownTaskType:
    """A task type with its argument schema compiled."""

    def __init__(self, spec: TaskTypeSpec) -> None:
        self.spec = spec
        self._declares_dependencies = bool(spec.dependencies or spec.url_argument)
        self._routes: dict[tuple[str | None, int | None], tuple[QueueSpec, int]] = {}
        schema = spec.arguments_schema
        self._validator = None if not schema or _takes_anything(schema) else _compiled(spec)

    def route(self, settings: Settings, queue: str | None, priority: int | None) -> tuple[QueueSpec, int]:
        """The queue and the priority of a submission that names these, found once. Raises ``UnknownQueue``."""
        found = self._routes.get((queue, priority))
        if found is None:
            found = self._routes[queue, priority] = route(settings, self.spec, queue, priority)
        return found

    def dependencies_of(self, args: list[Any], kwargs: dict[str, Any], added: list[str]) -> tuple[str, ...]:
        """What one task depends on, ``added`` included."""
        if not (added or self._declares_dependencies):
            return ()
        return self.spec.dependencies_of(args, kwargs, added)

    def check(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Raises ``InvalidArguments`` naming the arguments that do not fit: 20 at most, of large ones the first."""
        named = self.spec.bind(args, kwargs)
        if isinstance(named, list):
            raise InvalidArguments(errors=[FieldError(pointer=pointer, detail=detail) for pointer, detail in named])
        if self._validator is None or self._validator.is_valid(named):
            return
        errors = [
            FieldError(pointer=self.spec.pointer(list(error.instance_path), len(args)), detail=error.message[:500])
            for error in islice(_faults(self._validator, named), FAULTS_SHOWN)
        ]
        raise InvalidArguments(errors=errors)


class Catalogue:
    """All known task types, refreshed every two seconds and when an unknown one is asked for. Of ``routes``, the names
    in ``task_routes``, it warns of those that are misspelt.
    """

    def __init__(self, store: Store, routes: Collection[str] = ()) -> None:
        self._store = store
        self._routes = routes
        self._told: set[tuple[str, str]] = set()
        self._known: dict[str, KnownTaskType] = {}
        self._refreshed_at = float("-inf")
        self._asking = asyncio.Lock()
        self.loop = Loop("catalogue", self._pass, _REFRESH_SECONDS)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def names(self) -> list[str]:
        """Of all known task types, in their order."""
        return sorted(self._known)

    def places(self, settings: Settings) -> list[tuple[str, str]]:
        """Each known task type with every queue it goes to unless a submission names another.

        Of a type that its priority places, these are all queues that accept any task; when that makes too many, only
        the one it goes to without a priority.
        """
        by_priority = [queue.name for queue in settings.topology.queues if queue.accepts_any]
        few = len(self._known) * len(by_priority) <= _MOST_PLACES
        found = []
        for name, known in self._known.items():
            decided = decide(settings, known.spec, None, None)
            free = decided.queue_by in (By.PRIORITY, By.FALLBACK) and few
            found += [(name, queue) for queue in (by_priority if free else [decided.queue.name])]
        return found

    def known(self, name: str) -> KnownTaskType | None:
        """The task type of that name as it was last read; None says nothing: ``find`` it."""
        return self._known.get(name)

    async def find(self, name: str) -> KnownTaskType:
        """The task type of that name. Raises ``UnknownTaskType``."""
        known = self._known.get(name)
        if known is None:
            async with self._asking:
                if time.monotonic() - self._refreshed_at > _ASK_AGAIN_SECONDS:
                    await self.refresh()
            known = self._known.get(name)
        if known is None:
            raise UnknownTaskType(
                f"No worker has published the task type {name!r}."
                if self._known
                else "No worker has published task types yet: start one with `celery -A pointsman worker`.",
                errors=[FieldError(pointer="/task_type", detail="unknown task type")],
            )
        return known

    async def refresh(self) -> None:
        """Read the catalogue from the database."""
        async with self._store.statement() as connection:
            newest = await catalogue.newest(connection)
        self._refreshed_at = time.monotonic()
        known = {}
        for spec, _ in newest:
            old = self._known.get(spec.name)
            known[spec.name] = old if old is not None and old.spec == spec else KnownTaskType(spec)
        if known.keys() != self._known.keys():
            self._look_at_routes(known.keys())
        self._known = known

    def _look_at_routes(self, known: Collection[str]) -> None:
        for found in misspelt(self._routes, known):
            if found not in self._told:
                self._told.add(found)
                log.warning("a route names no task type that was published", route=found[0], meant=found[1])

    async def _pass(self) -> bool:
        await self.refresh()
        return False


def _compiled(spec: TaskTypeSpec) -> jsonschema_rs.Validator | None:
    """The validator, or None for a schema that cannot be used: the worker checks its arguments again."""
    try:
        return jsonschema_rs.validator_for(
            spec.arguments_schema, retriever=_refuse_to_fetch, formats=FORMATS, validate_formats=True
        )
    except ValueError as error:
        log.error("the argument schema of a task type is not usable", task_type=spec.name, reason=str(error)[:300])
        return None


def _faults(validator: jsonschema_rs.Validator, named: dict[str, Any]) -> Iterator[jsonschema_rs.ValidationError]:
    if holds_more_than(_VALUES_SEARCHED, named):
        try:
            validator.validate(named)
        except jsonschema_rs.ValidationError as first:
            yield first
        return
    yield from validator.iter_errors(named)


def _refuse_to_fetch(uri: str) -> Any:
    raise ValueError(f"an argument schema may not refer to {uri}")


def _takes_anything(schema: dict[str, Any]) -> bool:
    constraints = schema.keys() - {"$schema", "title", "description", "type", "properties", "additionalProperties"}
    return (
        not constraints
        and schema.get("type", "object") == "object"
        and not schema.get("properties")
        and schema.get("additionalProperties", True) is True
    )
