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
HTMX: Final = ("htmx.min.js", "hx-sse.min.js", "hx-csp.min.js")
"""Served as one: htmx begins by itself, and a browser may let it before it has run the next script."""
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
    contents = {file.name: file.read_bytes() for file in sorted(FOLDER.rglob("*")) if file.suffix in _TYPES}
    contents["htmx.js"] = b"\n;\n".join(contents.pop(name) for name in HTMX)
    return {name: _asset(name, content) for name, content in contents.items()}


def _asset(name: str, content: bytes) -> Asset:
    digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
    media_type = _TYPES[Path(name).suffix]
    return Asset(f"static/{digest}/{name}", content, gzip.compress(content, 9, mtime=0), media_type)


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
