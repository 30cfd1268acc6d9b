"""A team's own Celery configuration on this application: what of it holds, and what gives way to ours.

What ``config_from_object`` and its kind bring is laid below ours: a schedule, annotations, limits of children hold,
and what the promises rest on does not. An assignment to ``app.conf`` would win, so such a one is refused at start.
"""

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from celery.app.defaults import DEFAULTS

logger = logging.getLogger(__name__)

_LIMITS = {"task_time_limit": "time_limit_seconds", "task_soft_time_limit": "soft_time_limit_seconds"}
"""Of which ours are defaults, unless a setting of ours was given."""
_FREE = frozenset(
    {
        *_LIMITS,
        "broker_connection_retry_on_startup",
        "include",
        "result_expires",
        "task_track_started",
        "worker_hijack_root_logger",
        "worker_prefetch_multiplier",
        "worker_proc_alive_timeout",
    }
)
"""What an assignment may change: no promise rests on it."""
_VARIABLES = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND")
"""What Celery prefers to every configuration. They are of a team's own application, and name its servers."""
_CLEANUP = "celery.backend_cleanup"


def over_given(
    ours: Mapping[str, Any], given: Mapping[str, Any], settings_given: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """Our configuration above a given one, and the names of what of that does not hold.

    ``settings_given``: which settings of ours somebody has set.
    """
    theirs: dict[str, Any] = {name: given.get(name) for name in ours}
    theirs = {name: value for name, value in theirs.items() if value not in (None, DEFAULTS.get(name), ours[name])}
    settled: dict[str, Any] = dict(ours)
    for name, setting in _LIMITS.items():
        if name in theirs and setting not in settings_given:
            settled[name] = theirs.pop(name)
    if "include" in theirs:
        included: Sequence[str] = theirs.pop("include")
        settled["include"] = [*ours["include"], *included]
    return settled, sorted(theirs)


def check_given(app: Any) -> None:
    """Warn of what does not hold. Raises ``SystemExit`` for what was assigned to ``app.conf`` and must not be."""
    conf = app.conf
    # Celery reads its configuration when it is first asked, and only then knows ours.
    conf.get("broker_url")
    changed = [name for name in app.ours if name not in _FREE and conf.get(name) != app.ours[name]]
    if changed:
        raise SystemExit(
            f"app.conf.{', app.conf.'.join(changed)}: set by your code, and Pointsman's promises rest on its own. "
            "Set it on your own application only, or give both a module with app.config_from_object(): of that "
            "Pointsman takes what can hold."
        )
    if app.left_out:
        logger.warning(
            "of your Celery configuration does not hold here, where Pointsman has its own: %s", ", ".join(app.left_out)
        )
    variables = [name for name in _VARIABLES if os.environ.get(name)]
    if variables:
        logger.warning("%s names no server of Pointsman's and is not used here", ", ".join(variables))


def check_schedule(app: Any, scheduler: Any) -> None:
    """Raises ``SystemExit`` when beat would turn for ever and send nothing: it looks like one that sends.

    ``scheduler``: its class, or the name of it. One that reads its schedule elsewhere may find it empty.
    """
    name = scheduler if isinstance(scheduler, str) else f"{scheduler.__module__}:{scheduler.__name__}"
    if name.replace(":", ".") not in ("celery.beat.PersistentScheduler", "celery.beat.Scheduler"):
        return
    if not set(app.conf.beat_schedule) - {_CLEANUP}:
        raise SystemExit(
            "Beat has nothing to send: the beat_schedule of Pointsman's application is empty, and that of your own "
            "application is not known here. Set it on both, where your code has made its application, or give both a "
            "module with app.config_from_object()."
        )


def beat_starts(sender: Any, **_: Any) -> None:
    """For Celery's signal, before a beat of ours sends anything."""
    if hasattr(sender.app, "ours"):
        check_given(sender.app)
        check_schedule(sender.app, type(sender.scheduler))
