"""A circuit breaker as an answer: its JSON, and what its headers say."""

import math
import time
from typing import Any

from fastapi import Response

from pointsman_service.api.answers.answer import json_bytes, json_response
from pointsman_service.api.answers.payloads import mask
from pointsman_service.api.breakers.preconditions import etag_of
from pointsman_service.api.breakers.view import BreakerView, breaker_view
from pointsman_service.breaker.entry import Entry
from pointsman_service.observe.breakers import breaker_now


def shown(entry: Entry, **more: Any) -> Response:
    """A breaker as an answer, with the ETag of its policy and, where it is known when calls pass, Retry-After."""
    view = breaker_view(breaker_now(entry))
    answer = json_response(view | more)
    # By the ETag nobody finds out whether a guess of what is masked is right.
    seen = json_bytes(view | more) if mask(BreakerView, view) else bytes(answer.body)
    answer.headers["ETag"] = etag_of(entry, seen)
    answer.headers.update(retry_after(entry))
    return answer


def retry_after(entry: Entry) -> dict[str, str]:
    """``Retry-After`` in whole seconds; none while calls pass, or when nobody knows when they will."""
    until = entry.breaker.lets_through_at
    return {} if until is None else {"Retry-After": str(max(1, math.ceil(until - time.time())))}
