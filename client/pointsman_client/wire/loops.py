"""Event loops: what was begun in one is of no use in another."""

from typing import Any

from anyio.lowlevel import current_token

from pointsman_client.errors import OtherLoop


class AsyncLoop:
    """Knows in which event loop somebody's connections and waits are."""

    def __init__(self) -> None:
        self._of: Any = None

    def is_new(self) -> bool:
        """Whether the one that runs took the place of another, which is over. Raises ``OtherLoop`` where that still is
        there.
        """
        token: Any = current_token()
        now = getattr(token, "native_token", token)
        if now is self._of:
            return False
        before, is_over = self._of, getattr(self._of, "is_closed", lambda: True)
        if not is_over():
            raise OtherLoop("an AsyncClient is for one event loop at a time, and its first one is still there")
        self._of = now
        return before is not None


class Loop:
    """The same of who blocks: there is none."""

    def is_new(self) -> bool:
        """Never."""
        return False
