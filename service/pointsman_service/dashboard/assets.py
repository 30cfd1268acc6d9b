"""What browsers load once: style, scripts, the icon. Each is called by its content, so it can be kept for ever."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pointsman_service.api.answers.answer import Answer
from pointsman_service.errors import NotFound

FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_DIGITS: Final = 12
_FOR_EVER: Final = b"public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """One file, as it is and as it travels."""

    path: str
    """Below the dashboard."""
    content: bytes
    packed: bytes
    media_type: str

    def answer(self, accepts_gzip: bool) -> Answer:
        """The whole of it."""
        headers = [
            (b"content-type", self.media_type.encode()),
            (b"cache-control", _FOR_EVER),
            (b"x-content-type-options", b"nosniff"),
            (b"vary", b"accept-encoding"),
        ]
        if accepts_gzip:
            return Answer(200, [*headers, (b"content-encoding", b"gzip")], self.packed)
        return Answer(200, headers, self.content)


@cache
def assets() -> dict[str, Asset]:
    """All of them by their names."""
    found = {}
    for file in sorted(FOLDER.rglob("*")):
        if file.suffix in _TYPES:
            content = file.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
            path = f"static/{digest}/{file.name}"
            found[file.name] = Asset(path, content, gzip.compress(content, 9, mtime=0), _TYPES[file.suffix])
    return found


def asset_at(path: str) -> Asset:
    """The one at a path below the dashboard. Raises ``NotFound``, also for another version of it."""
    asset = assets().get(path.rpartition("/")[2])
    if asset is None or asset.path != path:
        raise NotFound("There is no such file in this release; load the page again.")
    return asset


@cache
def release_mark() -> str:
    """Changes whenever what browsers have loaded is not what this process would give them."""
    return hashlib.sha256("".join(asset.path for asset in assets().values()).encode()).hexdigest()[:_DIGITS]
