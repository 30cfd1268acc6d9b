"""What is said of an act on the page that is shown next, and how it is taken back. Kept in a cookie: no other site can
put words there.
"""

import base64
import binascii
import json
from typing import Any

from pointsman_service.dashboard.page import Done, Undo

COOKIE = "pointsman_done"
SECONDS = 60
_TEXT_MOST = 600


def packed(done: Done) -> str:
    """The value of the cookie."""
    said: dict[str, Any] = {"text": done.text[:_TEXT_MOST]}
    if done.undo is not None:
        said["undo"] = [done.undo.path, dict(done.undo.fields), done.undo.label]
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


def unpacked(value: str | None) -> Done | None:
    """What was packed; None for what we have not packed."""
    if not value:
        return None
    try:
        said = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        undo = said.get("undo")
        return Done(
            text=str(said["text"]),
            path="",
            undo=None
            if undo is None
            else Undo(str(undo[0]), {str(k): str(v) for k, v in undo[1].items()}, str(undo[2])),
        )
    except (ValueError, binascii.Error, KeyError, IndexError, TypeError, AttributeError):
        return None
