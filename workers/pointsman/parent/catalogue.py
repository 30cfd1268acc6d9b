"""The task types of a node, as it publishes them."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pointsman.base import ManagedTask
from pointsman.errors import OptionNotHonoured
from pointsman.task_type.arguments import arguments_of
from pointsman.task_type.dependencies import declared_by
from pointsman.task_type.options import PLAIN_ONLY, check, check_plain, is_plain_only
from pointsman.task_type.retrying import RetryRules
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.event_text import body_text
from pointsman_contract.events import CatalogueBody
from pointsman_contract.queues import Topology
from pointsman_contract.retry import RetryPolicy

_BUILTIN = "celery."


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every task of an application that is not Celery's own."""

    specs: tuple[TaskTypeSpec, ...]
    rules: Mapping[str, RetryRules]
    """The retry rules of each, by name."""
    plain: tuple[Any, ...] = ()
    """The tasks that are not published, because they say ``managed=False``."""

    @classmethod
    def of(cls, app: Any, topology: Topology, default: RetryPolicy) -> "Catalogue":
        """Read from the registry. Raises ``SystemExit`` naming every task that cannot be published, and why."""
        specs, rules, plain = [], {}, []
        faults = [f"Task {name}: {fault}." for name, fault in sorted(getattr(app, "named_twice", {}).items())]
        for name, task in sorted(app.tasks.items()):
            if name.startswith(_BUILTIN):
                continue
            try:
                if is_plain_only(task):
                    check_plain(task)
                    plain.append(task)
                    continue
                if not isinstance(task, ManagedTask):
                    raise OptionNotHonoured(f"its base must be derived from pointsman.ManagedTask, or {PLAIN_ONLY}")
                rules[name] = check(task, topology, default)
                specs.append(specify(task, rules[name]))
            except OptionNotHonoured as fault:
                faults.append(f"Task {name}: {fault}.")
            except ValidationError as error:
                first = error.errors()[0]
                faults.append(f"Task {name}: it cannot be published: {first['loc'][-1]}: {first['msg']}.")
        if faults:
            raise SystemExit("\n".join(faults))
        return cls(tuple(specs), rules, tuple(plain))

    def body(self, owner: str) -> str:
        """The body of a ``catalogue`` event."""
        body: CatalogueBody = {"worker": owner, "specs": [spec.model_dump(mode="json") for spec in self.specs]}
        return body_text(body)


def specify(task: ManagedTask, rules: RetryRules) -> TaskTypeSpec:
    """One task type."""
    arguments = arguments_of(task)
    return TaskTypeSpec(
        name=task.name,
        description=inspect.cleandoc(task.__doc__ or "").partition("\n\n")[0].replace("\n", " "),
        queue=task.queue,
        priority=task.priority,
        time_limit_seconds=task.time_limit,
        soft_time_limit_seconds=task.soft_time_limit or None,
        retry=rules.policy,
        dependencies=declared_by(task),
        url_argument=task.url_argument,
        fail_fast=task.fail_fast,
        positional=arguments.positional,
        positional_only=arguments.positional_only,
        extra_positional=arguments.extra_positional,
        arguments_schema=arguments.schema,
    )
