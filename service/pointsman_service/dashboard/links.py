"""Links between the pages. They are relative, so that the dashboard works behind any prefix of a proxy."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

ROOT = "/admin/tasks/dashboard"
"""Where the dashboard is mounted."""


class Links:
    """Links from one page to others.

    ``depth`` says how many folders below the dashboard's root the page is: 0 for ``alerts``, 1 for ``alerts/<id>``.
    """

    def __init__(self, depth: int = 0) -> None:
        self._up = "../" * depth or "./"

    def __call__(self, *segments: object, **query: object) -> str:
        """The link to a page, ``links("alerts", alert.id, state="open")``.

        Each segment is quoted whole: a name may hold anything. Parameters that are None or empty are left out.
        """
        path = "/".join(quote(str(segment), safe="") for segment in segments if segment != "")
        return self._up + path + query_of(query)

    def to(self, path: str) -> str:
        """The link to a path below the root that was made by ``place``."""
        return self._up + path

    def above(self, path: str) -> str:
        """The link to what is beside the dashboard: ``links.above("docs")`` is ``/docs``."""
        return self._up + "../" * (ROOT.count("/")) + path


def place(*segments: object, **query: object) -> str:
    """A path below the dashboard's root, quoted: what ``Done`` and ``Undo`` lead to."""
    return "/".join(quote(str(segment), safe="") for segment in segments if segment != "") + query_of(query)


def query_of(query: Mapping[str, object]) -> str:
    """``?a=b``, or nothing; of a sequence each of its values."""
    given = [(name, value) for name, value in query.items() if value not in (None, "", (), [])]
    return f"?{urlencode(given, doseq=True)}" if given else ""


def depth_of(path: str) -> int:
    """How many folders below the root a page is, by its quoted path."""
    return path.partition("?")[0].count("/")
