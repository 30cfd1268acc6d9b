"""What tells the body of one submission from another: equal for equal bodies, however they are written."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pointsman_service.admit.submission import BatchItem, Submission

_MOMENTS = ("scheduled_at", "expires_at")
_ARGUMENTS = ("args", "kwargs")
_KEY = {"idempotency_key"}


class Fingerprints(NamedTuple):
    """Of one body."""

    ours: str
    before: str | None
    """As the release before wrote it, where that differs; its keys are remembered for a day."""


def fingerprints_of(submission: Submission) -> Fingerprints:
    """The order of fields, the offset of a moment, ``1`` or ``1.0``, and tags that are empty or left out make no other
    body. Defaults are left out too: a field that a later version adds must not make an old body another one.
    """
    body = submission.model_dump(
        mode="json", exclude_defaults=True, exclude=_KEY if isinstance(submission, BatchItem) else None
    )
    text = _text(body)
    same = dict(body)
    if not submission.tags:
        same.pop("tags", None)
    for name in _MOMENTS:
        at: datetime | None = getattr(submission, name)
        if at is not None and at.utcoffset():
            same[name] = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if ".0" in text:
        same |= {name: _whole(same[name]) for name in _ARGUMENTS if name in same}
    ours = _text(same)
    return Fingerprints(_hash(ours), None if ours == text else _hash(text))


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, ensure_ascii=False)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _whole(value: Any) -> Any:
    """Numbers without a fraction as integers. The largest, which are written with an exponent, stay as they are."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e16 else value
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return value
