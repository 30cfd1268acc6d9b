"""Who works on each queue, and whether they speak our language. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from pointsman_contract.counted import counted
from pointsman_contract.message import UNDERSTOOD
from pointsman_contract.queues import QueueSpec
from pointsman_service.alert.kinds import KINDS, Rule
from pointsman_service.console.doctor.finding import Finding, Unknown, fault, ok, unknown, warning
from pointsman_service.console.doctor.service_facts import ServiceFacts
from pointsman_service.observe.explain import sentences
from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.remedies import REMEDIES, filled
from pointsman_service.observe.spans import span
from pointsman_service.observe.workers import WorkerFigures, consumers, kept_off

_NAMED = 5


def workers(found: Sequence[WorkerFigures] | Unknown) -> list[Finding]:
    """Who lives, and which version of the contract each speaks."""
    if isinstance(found, Unknown):
        return [unknown("workers", found), unknown("workers.contract", found)]
    return [alive(found), *contracts(found)]


def alive(found: Sequence[WorkerFigures]) -> Finding:
    """Nodes that beat, and those that fell silent."""
    check = "workers"
    living = [worker for worker in found if worker.live]
    silent = [worker for worker in found if worker.live is False and not worker.left]
    if not living:
        if any(worker.live is None for worker in found):
            return unknown(check, Unknown("nobody writes down which workers live: there is no reconciler"))
        return fault(check, "no worker lives: what is submitted waits", "Start one: scripts/celery_workers.sh")
    processes = sum(worker.processes for worker in living)
    says = f"{counted(len(living), 'node')} with {processes} {'process' if processes == 1 else 'processes'}"
    ejected = [worker.name for worker in living if worker.ejected]
    if silent:
        return warning(
            check,
            f"{says}; silent within the last hour: {_names(worker.name for worker in silent)}",
            KINDS[Rule.WORKER_LOST].next_step,
        )
    if ejected:
        return warning(
            check,
            f"{says}; taken off their queues: {_names(ejected)}",
            f"See ejected_reason in /v1/workers. {filled(REMEDIES[Cause.WORKER_EJECTED].step, worker=min(ejected))}",
        )
    return ok(check, says)


def contracts(found: Sequence[WorkerFigures]) -> Iterator[Finding]:
    """Nodes of a release that speaks another version."""
    check = "workers.contract"
    versions: dict[int, list[str]] = {}
    for worker in found:
        if worker.live and worker.contract is not None:
            versions.setdefault(worker.contract, []).append(worker.name)
    if not versions:
        return
    told = "; ".join(f"version {version}: {counted(len(names), 'node')}" for version, names in sorted(versions.items()))
    strangers = sorted(name for version, names in versions.items() if version not in UNDERSTOOD for name in names)
    if strangers:
        yield fault(
            check,
            f"{_names(strangers)} speak a contract version that this release does not understand ({told})",
            "Roll one release out everywhere (docs/upgrading.md).",
        )
    elif len(versions) > 1:
        yield warning(check, f"nodes of two releases run ({told})", "Finish the deployment.")
    else:
        yield ok(check, f"every node speaks contract {told.partition(':')[0]}")


def queues(
    specs: Sequence[QueueSpec], facts: ServiceFacts | Unknown, found: Sequence[WorkerFigures] | Unknown
) -> list[Finding]:
    """Each queue, in the order of its urgency."""
    ordered = sorted(specs, key=lambda spec: (-spec.priority, spec.name))
    return [queue(spec, facts, found) for spec in ordered]


def queue(spec: QueueSpec, facts: ServiceFacts | Unknown, found: Sequence[WorkerFigures] | Unknown) -> Finding:
    """Who takes from it, and whether that is enough."""
    check = f"queues.{spec.name}"
    if isinstance(facts, Unknown):
        return unknown(check, facts)
    oldest = facts.oldest_seconds.get(spec.name)
    waits = "nothing waits" if oldest is None else f"the oldest task has waited for {span(oldest)}"
    pause = facts.pauses.get(spec.name)
    if pause is not None:
        at = f"{pause.changed_at:%Y-%m-%d %H:%M} UTC"
        says = sentences.queue_paused(spec.name, pause.actor, pause.reason, at).removesuffix(".")
        return warning(check, f"{says}; {waits}", filled(REMEDIES[Cause.QUEUE_PAUSED].step, queue=spec.name))
    if isinstance(found, Unknown):
        return unknown(check, found)
    processes = consumers(found, spec.name)
    if processes is None:
        return unknown(check, Unknown(f"nobody writes down which workers live; {waits}"))
    if not processes:
        off = kept_off(found, spec.name)
        if off:
            what = sentences.workers_ejected([spec.name], _names(off))
            advice = filled(REMEDIES[Cause.WORKER_EJECTED].step, worker=off[0])
        else:
            what, advice = sentences.no_worker([spec.name]), REMEDIES[Cause.NO_WORKER].step
        says = f"{what.removesuffix('.')}; {waits}"
        return warning(check, says, advice) if oldest is None else fault(check, says, advice)
    says = f"{processes} {'process takes' if processes == 1 else 'processes take'} from it; {waits}"
    if oldest is not None and oldest > spec.sla_seconds:
        return warning(check, f"{says}, and its target is {spec.sla_seconds:g} s", KINDS[Rule.BACKLOG_OLD].next_step)
    return ok(check, says)


def task_types(facts: ServiceFacts | Unknown) -> Finding:
    """Whether anything may be submitted."""
    if isinstance(facts, Unknown):
        return unknown("task_types", facts)
    if not facts.task_types:
        return fault(
            "task_types",
            "no worker has ever published its task types: every submission is refused",
            "Start a worker; the recorder writes down what it publishes.",
        )
    return ok("task_types", f"{counted(len(facts.task_types), 'task type')} known")


def _names(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {more} more" if more > 0 else "")
