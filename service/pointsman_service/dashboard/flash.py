"""What is said of an act on the page that is shown next, and how it is taken back. Kept in cookies of the browser: no
other site can put words there.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pointsman_contract.log_text import in_one_line
from pointsman_service.dashboard.page import Done, Undo

SECONDS: Final = 60
_PART: Final = 3500
"""Characters of one cookie: browsers drop one of more than 4,096 with its name."""
COOKIES: Final = ("pointsman_done", "pointsman_done_2", "pointsman_done_3")
"""Reasons may be long, and those of an undo come on top of what is said."""
_TEXT_MOST: Final = 600
_MOST_BYTES: Final = 64 * 1024


def packed(done: Done) -> dict[str, str]:
    """The cookies by name. What does not fit has no undo."""
    said: dict[str, Any] = {"text": in_one_line(done.text)[:_TEXT_MOST], "path": done.path}
    undo = None if done.undo is None else [done.undo.path, dict(done.undo.fields), done.undo.label]
    parts = _parts(said if undo is None else said | {"undo": undo})
    if len(parts) > len(COOKIES):
        parts = _parts(said)
    # How many there are: of an act before, whose message was longer, some may be left.
    return dict(zip(COOKIES, [f"{len(parts)}.{parts[0]}", *parts[1:]], strict=False))


def unpacked(cookies: Mapping[str, str]) -> Done | None:
    """What was packed; None for what we have not packed."""
    count, _, first = cookies.get(COOKIES[0], "").partition(".")
    if count not in {str(number) for number in range(1, len(COOKIES) + 1)}:
        return None
    value = first + "".join(cookies.get(name, "") for name in COOKIES[1 : int(count)])
    try:
        data = zlib.decompressobj().decompress(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)), _MOST_BYTES)
        said = json.loads(data)
        undo = said.get("undo")
        return Done(
            text=str(said["text"]),
            path=str(said["path"]),
            undo=None
            if undo is None
            else Undo(str(undo[0]), {str(k): str(v) for k, v in undo[1].items()}, str(undo[2])),
        )
    except (ValueError, binascii.Error, zlib.error, KeyError, IndexError, TypeError, AttributeError):
        return None


def _parts(said: Mapping[str, Any]) -> Sequence[str]:
    data = zlib.compress(json.dumps(said, ensure_ascii=False).encode(), 9)
    value = base64.urlsafe_b64encode(data).decode().rstrip("=")
    return [value[at : at + _PART] for at in range(0, len(value), _PART)]
