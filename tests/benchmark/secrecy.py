"""What signatures and encryption cost: CPU time in µs, each step by itself, as the process does it whose it is.

No server runs: a step is pure, and what it takes beside the same without a key is all that a task pays.
"""

import json
import os
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

import uuid_utils

from pointsman.node.believed import check
from pointsman.stamp import Stamp
from pointsman_contract.events import EventKind
from pointsman_contract.key_rings import KeyRing
from pointsman_contract.sealing import Field, Sealer
from pointsman_contract.signing import Signer, Trust
from pointsman_service.broker import Envelope, encode
from pointsman_service.record.proof import Proof
from tests.benchmark.report import Report, Round
from tests.benchmark.rounds import play

_T = TypeVar("_T")
_QUEUE = "maintenance"
_AT = "1764484200.123456"
_OUTCOME = json.dumps({"state": "succeeded", "result": None, "run_seconds": 0.0012, "worker": "bulk@host#1"})
_STARTED = json.dumps({"worker": "bulk@host#1", "queue": _QUEUE, "sent_at": float(_AT)})
_LINE = json.dumps({"order": 51_234, "to": "ada@example.org", "amount": "129.90", "currency": "EUR"})
_SHOWN = ("sign_message", "check_message", "sign_events", "check_events", "signed_task", "encrypt", "decrypt")


def run(quick: bool) -> Report:
    """Seven rounds of each step, so often that a figure stands still; some twenty seconds."""
    ring = KeyRing.parse(f"bench:{os.urandom(32).hex()}")
    bench = _Secrecy(Signer(ring), Sealer(ring), 2_000 if quick else 20_000)
    return Report(
        name="secrecy",
        rounds=play(bench.round, 3 if quick else 7),
        shown=_SHOWN,
        unit="µs of CPU",
        notes=[
            "sign_message: of the service; check_message, sign_events: of a worker; check_events: of the recorder",
            "signed_task: the sum of these, for a task with one attempt",
            "encrypt, decrypt: one payload of a line, of a task that was not met before",
        ],
    )


class _Secrecy:
    def __init__(self, signer: Signer, sealer: Sealer, times: int) -> None:
        self._signer, self._sealer, self._times = signer, sealer, times
        self._stamp = Stamp(signer, lambda: float(_AT))
        self._proof = Proof(Trust("require", signer))

    def round(self, _number: int) -> Round:
        """Each step once more."""
        envelopes = [_envelope() for _ in range(self._times)]
        messages = [self._message(one) for one in envelopes]
        entries = [self._entries(one.task_id) for one in envelopes]
        words = [self._sealer.seal(_LINE, one.task_id, Field.RESULT) for one in envelopes]
        bare = _each(envelopes, lambda one: encode(one, 1))
        found = {
            "sign_message": _each(envelopes, lambda one: encode(one, 1, self._signer, _AT)) - bare,
            "check_message": _each(messages, partial(check, queue=_QUEUE, signer=self._signer)),
            "sign_events": _each(envelopes, lambda one: self._sign(one.task_id)),
            "check_events": _each(entries, lambda pair: [self._proof.of(entry) for entry in pair]),
        }
        found["signed_task"] = sum(found.values())
        # The keys of tasks are remembered: of others than those above none is.
        fresh = [_envelope().task_id for _ in range(self._times)]
        found["encrypt"] = _each(fresh, lambda task: self._sealer.seal(_LINE, task, Field.RESULT))
        found["decrypt"] = _each(words, self._sealer.open)
        return found

    def _message(self, envelope: Envelope) -> Any:
        before, after = encode(envelope, 1, self._signer, _AT)
        raw = json.loads(f"{before}1{after}")
        message = SimpleNamespace(headers=raw["headers"], _raw=raw)
        check(message, _QUEUE, self._signer)
        return message

    def _sign(self, task: str) -> tuple[str, str]:
        """What the two events of an attempt are sent with."""
        started = self._stamp.gate(task, 0, _STARTED, None, ())
        return started, self._stamp.outcome(EventKind.SUCCEEDED, task, 1, _OUTCOME)

    def _entries(self, task: str) -> list[dict[bytes, bytes]]:
        signed = zip((EventKind.STARTED, EventKind.SUCCEEDED), self._sign(task), (_STARTED, _OUTCOME), strict=True)
        return [_entry(kind, task, signature, body) for kind, signature, body in signed]


def _entry(kind: EventKind, task: str, signature: str, body: str) -> dict[bytes, bytes]:
    """An entry of the event stream, as the script appends it."""
    at, key, mark, mac, *_ = signature.split(" ")
    said = {"kind": kind, "task": task, "attempt": "1", "at": at, "body": body, "signed": f"{key} {mark} {mac}"}
    return {name.encode(): value.encode() for name, value in said.items()}


def _envelope() -> Envelope:
    return Envelope(
        task_id=str(uuid_utils.uuid7()),
        task_type="noop",
        queue=_QUEUE,
        priority=5,
        args="[]",
        kwargs="{}",
        timeout_seconds=60.0,
        dispatch=1,
        after=0,
        max_attempts=3,
        expires_at=None,
        traceparent=None,
    )


def _each(things: list[_T], step: Callable[[_T], object]) -> float:
    """µs of CPU a thing."""
    since = time.process_time()
    for thing in things:
        step(thing)
    return (time.process_time() - since) / len(things) * 1e6
