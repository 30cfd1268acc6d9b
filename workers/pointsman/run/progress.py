"""What a running task says of how far it is, as text."""

import json
import logging
import math
import time
from numbers import Real
from typing import Any

from pointsman.run.encoding import plain
from pointsman_contract.clean_text import clean
from pointsman_contract.events import PROGRESS_BYTES, Progress

logger = logging.getLogger(__name__)

_NOTE_CHARACTERS = 500


def progress_text(state: str, current: Any, total: Any, note: str, meta: Any) -> str:
    """JSON text of a ``Progress``, at most ``PROGRESS_BYTES``.

    ``current``, ``total`` and ``note`` are taken from ``meta`` where they are not given. What is no number becomes
    null; a meta that is not JSON or too long is left out with a warning: saying how far one is must not fail a task.
    """
    kept = meta if isinstance(meta, dict) else None if meta is None else {"meta": meta}
    found = kept or {}
    told: Progress = {
        "state": clean(str(state))[:100],
        "current": _number(found.get("current") if current is None else current),
        "total": _number(found.get("total") if total is None else total),
        "note": clean(str(note or found.get("note") or ""))[:_NOTE_CHARACTERS],
        "meta": kept,
        "at": time.time(),
    }
    try:
        text = clean(json.dumps(told, ensure_ascii=False, allow_nan=False, default=plain))
        if len(text.encode()) <= PROGRESS_BYTES:
            return text
        reason = f"longer than {PROGRESS_BYTES} bytes"
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error)[:200]
    logger.warning("the meta of a task's progress is left out: %s", reason)
    return json.dumps(told | {"meta": None})


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
