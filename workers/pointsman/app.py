"""The Celery application: ordinary Celery, configured for the queues and priorities of the contract."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from celery import Celery, signals
from celery._state import get_current_worker_task
from celery.app import backends
from kombu import Exchange, Queue

from pointsman.extras import without_extra
from pointsman.run.log_format import keep_entries_apart
from pointsman.settings import settings
from pointsman.task_type.coroutines import as_function
from pointsman.task_type.django import catch_up
from pointsman.task_type.given import beat_starts, over_given
from pointsman.task_type.options import unknown_options
from pointsman.task_type.routing import PriorityAMQP
from pointsman.transport import of_pointsman, register
from pointsman_contract.queues import STEPS

_PLACEMENT = ("queue", "priority")
SHIPPED_TASKS: Mapping[str, str | None] = {
    "pointsman.shipped.tasks.diagnostics": None,
    "pointsman.shipped.tasks.email": None,
    "pointsman.shipped.tasks.http": "http",
    "pointsman.shipped.tasks.jobs": "api",
    "pointsman.shipped.tasks.maintenance": None,
    "pointsman.shipped.tasks.mqtt": "mqtt",
    "pointsman.shipped.tasks.reports": "reports",
    "pointsman.shipped.tasks.weather": "http",
}
"""The modules of shipped task types, each with the extra it needs. Without it they are not offered."""


class PointsmanCelery(Celery):
    """Celery whose ``queue`` and ``priority`` task options do not warn and mean what the contract says."""

    amqp_cls: Any = PriorityAMQP
    loader_cls: Any = "pointsman.task_type.loader:Loader"

    if not TYPE_CHECKING:  # celery-types tells the decorator's many forms

        def task(self, *args: Any, **options: Any) -> Any:
            """Celery's decorator. The task belongs to this application alone: another one in the same process, perhaps
            one that is moved over bit by bit, does not find our tasks among its own unless ``shared=True``.
            """
            return super().task(*args, **{"shared": False, **options})

    _tasks: Any
    named_twice: dict[str, str]
    """What to say at start of names that more than one function has: Celery goes on with one of them."""

    _conf: Any
    _pending_defaults: Any
    ours: Mapping[str, Any]
    """What we configure, a given configuration taken into account."""
    left_out: list[str]
    """What of a given configuration does not hold, by name."""

    def on_init(self) -> None:
        """Celery's hook of an application that is made."""
        self.named_twice = {}
        self.ours, self.left_out = {}, []

    def _load_config(self) -> Any:
        # Each time: a configuration that comes later would otherwise be the only one.
        if self._settle not in self._pending_defaults:
            self._pending_defaults.append(self._settle)
        return super()._load_config()  # type: ignore[misc]  # not in celery-types

    def _settle(self) -> dict[str, Any]:
        ours, self.left_out = over_given(configuration(), self._conf, settings().model_fields_set)
        self.ours = ours
        return ours

    def config_from_object(self, obj: Any, *args: Any, **options: Any) -> Any:
        """Celery's: what of it can hold here does (``pointsman.task_type.given``)."""
        catch_up(self, imports_have_begun=self.loader.worker_initialized)
        return super().config_from_object(obj, *args, **options)

    def autodiscover_tasks(self, packages: Any = None, related_name: Any = "tasks", force: bool = False) -> None:
        """Celery's, also when it is called by a module that a worker imports, and for which it would come too late."""
        late = self.loader.worker_initialized
        catch_up(self, imports_have_begun=late)
        super().autodiscover_tasks(packages, related_name, force or late)

    def register_task(self, task: Any, **options: Any) -> Any:
        """Celery's, for tasks that are classes."""
        before = dict(self.tasks)
        registered = super().register_task(task, **options)
        self._note_name(registered.name, before.get(registered.name), type(registered))
        return registered

    def _note_name(self, name: str, earlier: Any, code: Any) -> bool:
        """Whether the name is another function's."""
        if earlier is None:
            return False
        places = [place_of(getattr(earlier, "_decorated_fun", None) or type(earlier)), place_of(code)]
        # A module that is loaded twice brings the same function again.
        if places[0] == places[1]:
            return False
        both = " and ".join(places)
        self.named_twice[name] = f"two functions have this name, {both}: give one of them another"
        return True

    def _task_from_fun(  # type: ignore[override]  # celery-types names every option; we pass them on
        self, fun: Any, name: str | None = None, base: Any = None, bind: bool = False, **options: Any
    ) -> Any:
        # Celery deprecates both as class attributes at binding; set afterwards they work as documented.
        # Said at start, with everything else that cannot be honoured, and not as a traceback of the import.
        faults = {"option_faults": unknown_options(base or self.Task, options)}
        placement: dict[str, Any] = faults | {option: options.pop(option) for option in _PLACEMENT if option in options}
        body = as_function(fun, _is_worker_run) if inspect.iscoroutinefunction(fun) else fun
        known = name or self.gen_task_name(fun.__name__, fun.__module__)
        if known in self._tasks:
            earlier = self._tasks[known]
            if not self._note_name(known, earlier, fun):
                return earlier
            return super()._task_from_fun(body, name, base, bind, **options)
        try:
            task = super()._task_from_fun(body, name, base, bind, **options)
        except (TypeError, ValueError, OverflowError) as error:
            if known not in self._tasks:
                raise
            # It is registered; Celery's wrapper for autoretry_for, which managed runs leave out, could not read them.
            task = self._tasks[known]
            faults["option_faults"].append(f"its retry options cannot be read: {error}")
        for option, value in placement.items():
            setattr(type(task), option, value)
        return task

    def connection(self, hostname: str | None = None, *args: Any, **options: Any) -> Any:
        """Celery's, likewise to our broker."""
        return super().connection(hostname or self.conf.get("broker_url"), *args, **options)

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """Celery's, to our broker: ``CELERY_BROKER_URL`` names that of a team's own application."""
        return self._connection(url or self.conf.get("broker_url"), **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """Celery's, likewise."""
        return self._connection(url or self.conf.get("broker_url"), **options)

    def _get_backend(self) -> Any:
        # Celery prefers CELERY_RESULT_BACKEND.
        found: Any = backends.by_url(self.conf.get("result_backend"), self.loader)
        backend, url = found
        return backend(app=self, url=url)

    def _connection(self, url: str | None, *args: Any, **options: Any) -> Any:
        """Raises ``SystemExit`` with what to do when no broker is known; tasks can be called and tested without one."""
        chosen = url or broker_url(settings().require_redis_url())
        return super()._connection(chosen, *args, **options)  # type: ignore[misc]  # not in celery-types


def place_of(code: Any) -> str:
    """File and line of a function, the module and name of a class."""
    function = inspect.unwrap(code)
    if inspect.isfunction(function):
        return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
    return f"{code.__module__}.{code.__qualname__}"


def _is_worker_run() -> bool:
    """Whether a worker, or ``apply()``, runs a task in this thread; a plain call is neither."""
    return get_current_worker_task() is not None


def celery_url(url: str) -> str:
    """The URL in Celery's words: ``redis+socket`` and ``virtual_host`` where redis-py says ``unix`` and ``db``.

    Over TLS Celery's result backend wants said what redis-py takes for granted: that certificates are checked.
    """
    if url.startswith("rediss://") and "ssl_cert_reqs=" not in url:
        return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"
    if not url.startswith("unix://"):
        return url
    parts = urlsplit(url)
    query = {("virtual_host" if name == "db" else name): value for name, value in parse_qsl(parts.query)}
    return f"redis+socket://{parts.netloc}{parts.path}" + (f"?{urlencode(query)}" if query else "")


def broker_url(url: str) -> str:
    """The URL in Celery's words, with the transport of the settings in its scheme."""
    found = celery_url(url)
    return found if settings().transport == "stock" else of_pointsman(found)


def configuration() -> dict[str, Any]:
    """Celery's settings."""
    ours = settings()
    found = ours.find_redis_url()
    left_out = without_extra(SHIPPED_TASKS)
    return {
        "broker_url": None if found is None else broker_url(found),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "priority_steps": list(STEPS),
            "queue_order_strategy": "priority",
            "queues_with_bells": [queue.name for queue in ours.topology.queues],
            "visibility_timeout": ours.visibility_timeout_seconds,
            "socket_connect_timeout": ours.redis_connect_seconds,
            "socket_keepalive": True,
        },
        "result_backend": None if found is None else celery_url(found),
        "result_expires": ours.result_expires_seconds,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_queues": [
            Queue(queue.name, Exchange(queue.name), routing_key=queue.name) for queue in ours.topology.queues
        ],
        "task_default_queue": ours.topology.fallback,
        "task_create_missing_queues": False,
        "task_routes": ours.task_routes.for_celery(),
        "task_time_limit": ours.time_limit_seconds,
        "task_soft_time_limit": ours.soft_time_limit_seconds,
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "task_inherit_parent_priority": False,
        "task_track_started": False,
        "worker_consumer": "pointsman.parent.consumer:PointsmanConsumer",
        "worker_prefetch_multiplier": ours.prefetch_multiplier,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "worker_proc_alive_timeout": 30.0,
        "include": [*(module for module in SHIPPED_TASKS if module not in left_out), *ours.modules()],
    }


register()
app = PointsmanCelery("pointsman", task_cls="pointsman.base:ManagedTask", set_as_current=True)
for _made in (signals.after_setup_logger, signals.after_setup_task_logger):
    _made.connect(keep_entries_apart)
signals.beat_init.connect(beat_starts)
# By name: a process that only sends tasks does not load the worker.
app.steps["worker"].add("pointsman.parent.steps:NodeStep")
app.steps["consumer"].add("pointsman.parent.steps:Consuming")
