"""One submission whole: from a parsed body to a durable task."""

import asyncio
import math
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import NamedTuple, cast

import uuid_utils
from pydantic_core import to_json

from pointsman_contract.sealing import BEGIN, stands_sealed
from pointsman_service.admit.carrying import is_deeper, uncarried
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.admit.submission import Submission, too_late
from pointsman_service.callers import Caller
from pointsman_service.errors import (
    BacklogFull,
    BatchOverBurst,
    BodyTooLarge,
    BreakerOpen,
    ExpectedFault,
    FieldError,
    InvalidRequest,
    KeyInUse,
    KeyReused,
    OutcomeUnknown,
    OutsideKey,
    PointsmanError,
    QuotaFull,
    RateExceeded,
    SlaAtRisk,
    Unavailable,
)
from pointsman_service.settings import Settings
from pointsman_service.store.queues.holding import Blocking
from pointsman_service.store.store import StatementRefused, Store
from pointsman_service.store.tasks import submitting
from pointsman_service.store.tasks.submitting import KEY, NewTask
from pointsman_service.submit.admission import Admission
from pointsman_service.submit.fingerprint import fingerprints_of
from pointsman_service.submit.group_commit import GroupCommit
from pointsman_service.submit.quotas import Quotas
from pointsman_service.submit.rates import Rates
from pointsman_service.submit.writer import Receipt

REFUSALS = (InvalidRequest, BodyTooLarge, BreakerOpen, BacklogFull, SlaAtRisk, QuotaFull)
"""What ``Submitter.admit`` has against a submission. Time, a deploy, a circuit breaker or a backlog may have brought it
about.
"""
_LATER = (*REFUSALS, RateExceeded)
_RETRY_SECONDS = 10.0
"""When to ask again, where the breaker does not say."""


class Accepted(NamedTuple):
    """A submission that is durable now, or was already (``replayed``: the task its key stands for)."""

    task_id: str
    replayed: bool
    task: NewTask | None
    """None for some replays: nothing was made."""
    submitted_at: datetime | None
    """None for a replay: read the task."""


_REPLAYED = attrgetter("replayed")

Admitted = NewTask | Accepted | PointsmanError
"""An item of a batch that was checked: a task to be stored, what it became when it was first called, or a refusal."""


def tasks_of(admitted: Sequence[Admitted]) -> Sequence[NewTask]:
    """Those of them that are to be stored, in order: mostly all."""
    if set(map(type, admitted)) == {NewTask}:
        return cast(Sequence[NewTask], admitted)
    return [task for task in admitted if isinstance(task, NewTask)]


class Submitter:
    """Takes submissions for one API process."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        commits: GroupCommit,
        settings: Settings,
        admission: Admission | None = None,
        rates: Rates | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        """Without ``admission`` queues take any number, and nothing is predicted. Without ``rates`` and
        ``quotas`` callers submit as they like.
        """
        self._admission = admission
        self._rates = rates
        self._quotas = quotas
        self._has_rates = rates is not None and rates.default is not None
        """Whether callers have one of which nothing is said with their key. So is ``_has_quotas``."""
        self._has_quotas = quotas is not None and quotas.default is not None
        self._store = store
        self._catalogue = catalogue
        self._commits = commits
        self._settings = settings
        self._sealing = settings.sealing
        self._first_calls: dict[tuple[str, str], asyncio.Future[Accepted | None]] = {}

    async def admit(
        self,
        caller: Caller,
        submission: Submission,
        key: str | None,
        traceparent: str | None,
        *,
        counts: bool = True,
    ) -> NewTask:
        """Every check of a new submission; writes nothing, and does not ask what its key stands for. ``counts``: it is
        stored next, or ``abandon`` is told that it is not.

        Raises one of ``REFUSALS``, ``OutsideKey`` for what the caller does not reach, or ``DatabaseAway``.
        """
        if caller.task_types is not None and submission.task_type not in caller.task_types:
            raise OutsideKey(f"This key does not reach the task type {submission.task_type}; nothing was stored.")
        known = self._catalogue.known(submission.task_type) or await self._catalogue.find(submission.task_type)
        # First: what checks the arguments goes as deep as they do.
        args, kwargs = encode(submission, self._settings.body_bytes, self._settings.json_depth - 1)
        known.check(submission.args, submission.kwargs)
        queue, priority = known.route(self._settings, submission.queue, submission.priority)
        if caller.queues is not None and queue.name not in caller.queues:
            raise OutsideKey(f"This key does not reach the queue {queue.name}; nothing was stored.")
        task_id = str(uuid_utils.uuid7())
        if self._sealing is not None:
            args, kwargs = self._sealing.seal_arguments(args, kwargs, task_id)
        dependencies = known.dependencies_of(submission.args, submission.kwargs, submission.dependencies)
        requested = submission.timeout_seconds
        prints = None if key is None else fingerprints_of(submission)
        task = NewTask(
            id=task_id,
            task_type=known.spec.name,
            queue=queue.name,
            priority=priority,
            args=args,
            kwargs=kwargs,
            tags=to_json(submission.tags).decode() if submission.tags else None,
            caller=caller.name,
            scheduled_at=submission.scheduled_at,
            delay_seconds=submission.delay_seconds,
            expires_at=submission.expires_at,
            timeout_seconds=requested if requested is not None else known.spec.time_limit_seconds,
            requested_timeout_seconds=requested,
            sla_seconds=queue.sla_seconds,
            max_attempts=submission.max_attempts or known.spec.retry.max_attempts,
            traceparent=traceparent,
            key=key,
            fingerprint=None if prints is None else prints.ours,
            sent_epoch=None,
            dependencies="\n".join(dependencies) if dependencies else None,
            fairness_key=submission.fairness_key or "",
            fingerprint_before=None if prints is None else prints.before,
        )
        if submission.expires_at is not None and (fault := too_late(submission, datetime.now(UTC))) is not None:
            raise InvalidRequest(errors=[fault])
        # Nobody who has no limit and asks for nothing pays for more than these two questions.
        guarded = queue.backlog_limit is not None or submission.on_sla_risk == "reject"
        if guarded and self._admission is not None:
            await self._admission.check(queue, priority, submission, caller.name)
        quotas = None
        if (caller.quota is not None or self._has_quotas) and self._quotas is not None and not task.is_later():
            quotas = self._quotas
            task.is_counted = True
            await quotas.check(caller)
        if submission.on_breaker_open == "reject":
            await self._commits.breakers.freshen()
            blocking = self._commits.breakers.refuses(task.task_type, dependencies)
            if blocking is not None:
                raise _refusal(blocking)
        if guarded and counts and self._admission is not None:
            self._admission.take(queue.name, submission)
        if quotas is not None and counts:
            quotas.take(caller)
        return task

    def abandon(self, tasks: Iterable[NewTask]) -> None:
        """Tasks that were admitted and are not stored: they are in nobody's way."""
        due = [task for task in tasks if not task.is_later()]
        if self._admission is not None:
            self._admission.give_back(task.queue for task in due)
        if self._quotas is not None:
            self._quotas.give_back(task.caller for task in due)

    async def is_held_by_a_breaker(self, task: NewTask) -> bool:
        """Whether a circuit breaker would hold it now. Raises the store's errors."""
        await self._commits.breakers.freshen()
        return self._commits.breakers.of_task(task.task_type, task.depends_on()) is not None

    async def earlier(
        self, caller: Caller, calls: Sequence[tuple[Submission, str]]
    ) -> list[Accepted | PointsmanError | None]:
        """What each submission, refused by now, became when it was first called with its key; None: it never was."""
        pairs = [(caller.name, key) for _, key in calls]
        under_way = [self._first_calls[pair] for pair in {*pairs} if pair in self._first_calls]
        if under_way:
            await asyncio.wait(under_way, timeout=self._settings.idempotency_wait_seconds)
        found = await self._look_up(
            [(pair, fingerprints_of(submission)) for pair, (submission, _) in zip(pairs, calls, strict=True)]
        )
        # The first call has not committed yet.
        return [
            KeyInUse(retry_after_seconds=1) if answer is None and pair in self._first_calls else answer
            for pair, answer in zip(pairs, found, strict=True)
        ]

    async def submit(
        self, caller: Caller, submission: Submission, key: str | None, traceparent: str | None
    ) -> Accepted:
        """Return once the task is durable, whoever dies then.

        Raises the errors of ``admit`` and of ``GroupCommit.join``, and ``RateExceeded``; with a key also ``KeyInUse``
        (its first call has not committed within two seconds) and ``KeyReused`` (it stands for another body).
        """
        # Nothing is called for a caller without a limit: this is the hot route.
        rates = self._rates if caller.rate is not None or self._has_rates else None
        try:
            task = await self.admit(caller, submission, key, traceparent)
            if rates is not None and not rates.take_one(caller):
                await self._take_permit(rates, caller, task)
        except _LATER:
            # A call again gets the first call's task, whatever would be said to a new one now.
            (earlier,) = [None] if key is None else await self.earlier(caller, [(submission, key)])
            if earlier is None:
                raise
            if isinstance(earlier, PointsmanError):
                raise earlier from None
            return earlier
        try:
            if key is not None:
                accepted = await self._submit_once(task, (task.caller, key))
            else:
                receipt = await self._commits.join(task)
                accepted = Accepted(task.id, False, task, receipt.submitted_at)
        except PointsmanError as error:
            if rates is not None:
                rates.put_back(caller, _permits_left([error]))
            raise
        if rates is not None and accepted.replayed:
            rates.put_back(caller)
        return accepted

    async def within_rate(self, caller: Caller, admitted: Sequence[Admitted], *, atomic: bool) -> Sequence[Admitted]:
        """The same, but for what is over the caller's rate: the task of its first call, or ``RateExceeded``.

        With ``atomic`` it is all or none: ``BatchOverBurst`` where it never will be all.
        """
        if self._rates is None or not self._rates.limits(caller):
            return admitted
        tasks = tasks_of(admitted)
        if not tasks:
            return admitted
        refusal: PointsmanError
        try:
            taken = await self._rates.take(caller, len(tasks), whole=atomic)
            if taken == len(tasks):
                return admitted
            refusal = self._rates.exceeded(caller)
        except (RateExceeded, BatchOverBurst) as error:
            taken, refusal = 0, error.with_traceback(None)
        over = tasks[taken:]
        self.abandon(over)
        keyed = [task for task in over if task.key is not None]
        found = await self._look_up([((task.caller, task.key or ""), task.fingerprints()) for task in keyed])
        earlier = {task.id: first for task, first in zip(keyed, found, strict=True) if first is not None}
        instead = {task.id: earlier.get(task.id, refusal) for task in over}
        return [instead.get(task.id, task) if isinstance(task, NewTask) else task for task in admitted]

    async def submit_batch(
        self, caller: Caller, tasks: Sequence[NewTask], atomic: bool = False
    ) -> list[Accepted | PointsmanError]:
        """Store the tasks of one request in one commit; an answer for each, in order. A key that stands twice in it,
        or was used before, gives the first task again. ``atomic``: all or none; then what refused one is raised.
        """
        if self._rates is None or not self._rates.limits(caller):
            return await self._store_many(tasks, atomic)
        try:
            answers = await self._store_many(tasks, atomic)
        except PointsmanError as error:
            self._rates.put_back(caller, _permits_left([error] * len(tasks)))
            raise
        self._rates.put_back(caller, _permits_left(answers))
        return answers

    async def _take_permit(self, rates: Rates, caller: Caller, task: NewTask) -> None:
        try:
            await rates.take(caller)
        except RateExceeded:
            self.abandon([task])
            raise

    async def _store_many(self, tasks: Sequence[NewTask], atomic: bool) -> list[Accepted | PointsmanError]:
        if not atomic and not any(map(KEY, tasks)):
            return [
                Accepted(task.id, False, task, found.submitted_at) if isinstance(found, Receipt) else found
                for task, found in zip(tasks, await self._commits.write_batch(tasks), strict=True)
            ]
        firsts: dict[tuple[str, str], NewTask] = {}
        fresh = [task for task in tasks if task.key is None or firsts.setdefault((task.caller, task.key), task) is task]
        if atomic and any(task.key and firsts[task.caller, task.key].fingerprint != task.fingerprint for task in tasks):
            raise KeyReused("Two items of the batch have the same idempotency_key and different bodies.")
        written = await (self._commits.write_atomic(fresh) if atomic else self._commits.write_batch(fresh))
        receipts = dict(zip((task.id for task in fresh), written, strict=True))
        taken = [task for task in fresh if isinstance(found := receipts[task.id], Receipt) and not found.accepted]
        try:
            replays = await self._replays(taken)
        except (Unavailable, ExpectedFault, StatementRefused):
            # The others are durable and must be said to be; these may be asked for again.
            replays = {task.id: KeyInUse(retry_after_seconds=1) for task in taken}
        answers: list[Accepted | PointsmanError] = []
        for task in tasks:
            first = task if task.key is None else firsts[task.caller, task.key]
            receipt = receipts[first.id]
            if isinstance(receipt, PointsmanError):
                answers.append(receipt)
            elif first.fingerprint != task.fingerprint:
                answers.append(_reused(first.id if receipt.accepted else _task_of(replays[first.id])))
            elif not receipt.accepted:
                answers.append(replays[first.id])
            else:
                answers.append(Accepted(first.id, first is not task, first, receipt.submitted_at))
        return answers

    async def _submit_once(self, task: NewTask, key: tuple[str, str]) -> Accepted:
        while (first_call := self._first_calls.get(key)) is not None:
            first = await self._wait_for(first_call)
            if first is not None:
                assert first.task is not None
                if first.task.fingerprint != task.fingerprint:
                    raise _reused(first.task_id)
                return Accepted(first.task_id, True, task, None)
        mine: asyncio.Future[Accepted | None] = asyncio.get_running_loop().create_future()
        self._first_calls[key] = mine
        accepted = None
        try:
            accepted = await self._commit_with_key(task)
        finally:
            del self._first_calls[key]
            mine.set_result(accepted)
        return accepted

    async def _wait_for(self, first_call: asyncio.Future[Accepted | None]) -> Accepted | None:
        """A twin in this process: what the first call became, or None when it failed."""
        done, _ = await asyncio.wait([first_call], timeout=self._settings.idempotency_wait_seconds)
        if not done:
            raise KeyInUse(retry_after_seconds=1)
        return first_call.result()

    async def _commit_with_key(self, task: NewTask) -> Accepted:
        receipt = await self._commits.join(task)
        if receipt.accepted:
            return Accepted(task.id, False, task, receipt.submitted_at)
        answer = (await self._replays([task]))[task.id]
        if isinstance(answer, PointsmanError):
            raise answer
        return answer

    async def _replays(self, tasks: Sequence[NewTask]) -> dict[str, Accepted | PointsmanError]:
        """The task each taken key stands for."""
        asked = [((task.caller, task.key or ""), task.fingerprints()) for task in tasks]
        answers: dict[str, Accepted | PointsmanError] = {}
        for task, found in zip(tasks, await self._look_up(asked), strict=True):
            if isinstance(found, Accepted):
                found = Accepted(found.task_id, True, task, None)
            answers[task.id] = found or KeyInUse(retry_after_seconds=1)
        return answers

    async def _look_up(
        self, asked: Sequence[tuple[tuple[str, str], Collection[str | None]]]
    ) -> list[Accepted | KeyReused | None]:
        """For each key, with what its body may be remembered by."""
        if not asked:
            return []
        async with self._store.statement() as connection:
            remembered = self._settings.idempotency_seconds
            found = await submitting.find_keys(connection, [pair for pair, _ in asked], remembered)
        answers: list[Accepted | KeyReused | None] = []
        for pair, fingerprints in asked:
            task_id, fingerprint = found.get(pair, (None, None))
            if task_id is None:
                answers.append(None)
            elif fingerprint in fingerprints:
                answers.append(Accepted(task_id, True, None, None))
            else:
                answers.append(_reused(task_id))
        return answers


def _permits_left(answers: Sequence[Accepted | PointsmanError]) -> int:
    """Of the permits that were taken for these, how many nothing was stored for."""
    if set(map(type, answers)) == {Accepted} and not any(map(_REPLAYED, answers)):
        return 0
    return len(
        [
            answer
            for answer in answers
            if (answer.replayed if isinstance(answer, Accepted) else not isinstance(answer, OutcomeUnknown))
        ]
    )


def _reused(first: str | None) -> KeyReused:
    if first is None:
        return KeyReused()
    return KeyReused(f"The Idempotency-Key was used with another body, for the task {first}.", task_id=first)


def _task_of(answer: Accepted | PointsmanError) -> str | None:
    return answer.task_id


def _refusal(blocking: Blocking) -> BreakerOpen:
    seconds = _RETRY_SECONDS
    if blocking.lets_through_at is not None:
        seconds = (blocking.lets_through_at - datetime.now(UTC)).total_seconds()
    return BreakerOpen(
        f"The circuit breaker {':'.join(blocking.key)} is {blocking.seen}; nothing was stored.",
        retry_after_seconds=max(1.0, math.ceil(seconds)),
    )


def encode(submission: Submission, most_bytes: int, most_deep: int | None = None) -> tuple[str, str]:
    """Arguments as JSON text. Raises ``BodyTooLarge`` for more than ``most_bytes`` of it, in a batch as alone, and
    ``InvalidRequest`` for what is nested more than ``most_deep`` deep (None: it was looked at), for what stands for
    encrypted arguments, and for what PostgreSQL, JSON or Celery cannot carry.
    """
    args_text, kwargs_text = to_json(submission.args), to_json(submission.kwargs)
    if len(args_text) + len(kwargs_text) > most_bytes:
        raise BodyTooLarge(f"The arguments of a task are longer than {most_bytes} bytes.")
    args, kwargs = args_text.decode(), kwargs_text.decode()
    suspicious = args + kwargs
    if most_deep is not None and suspicious.count("[") + suspicious.count("{") > most_deep:
        _check_depth(submission, most_deep)
    if BEGIN in suspicious:
        _check_unsealed(submission)
    if (
        "\\u0000" in suspicious
        or "Infinity" in suspicious
        or "NaN" in suspicious
        or '"__type__"' in suspicious
        or submission.tags
    ):
        fields = {"args": submission.args, "kwargs": submission.kwargs, "tags": submission.tags}
        faults = uncarried(fields)
        if faults:
            raise InvalidRequest(errors=faults)
    return args, kwargs


def _check_depth(submission: Submission, most: int) -> None:
    faults = [
        FieldError(pointer=f"/{name}", detail=f"is nested deeper than {most} levels")
        for name in ("args", "kwargs")
        if is_deeper(getattr(submission, name), most)
    ]
    if faults:
        raise InvalidRequest(errors=faults)


def _check_unsealed(submission: Submission) -> None:
    faults = [
        FieldError(pointer=f"/{name}", detail="stands for encrypted arguments, which only the service writes")
        for name in ("args", "kwargs")
        if stands_sealed(getattr(submission, name))
    ]
    if faults:
        # A worker would open it, whichever task it is of.
        raise InvalidRequest(errors=faults)
