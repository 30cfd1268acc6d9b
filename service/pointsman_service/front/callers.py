"""Who calls, from the header fields of a request."""

from pointsman_service.access.ring import KeyRing
from pointsman_service.callers import LOCAL, NOBODY, Caller
from pointsman_service.dashboard.links import ROOT
from pointsman_service.dashboard.session import session_in
from pointsman_service.settings import Settings

_PASSED_ON = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip"})
"""What proxies say of whom they ask for."""


class KnownCallers:
    """Callers by their keys; without one whoever asks from this machine, where nobody else can reach it.

    What a proxy on this machine passes on comes from elsewhere, though its address does not say so.
    """

    def __init__(self, ring: KeyRing, settings: Settings) -> None:
        self._ring = ring
        self._required = settings.asks_for_keys
        self._passed_on = _PASSED_ON if settings.keys_required is None else frozenset()

    def of(self, fields: dict[bytes, bytes], path: str) -> Caller:
        """Whoever sent these; for pages whoever signed in, too: a cookie opens nothing else. Who shows no key where one
        is asked for is ``NOBODY``, and what they ask for decides.

        Raises ``KeyUnknown``, ``KeyExpired``, ``KeyRevoked`` and ``DatabaseAway`` for a key that is shown.
        """
        given = fields.get(b"authorization")
        if given is not None:
            scheme, _, token = given.partition(b" ")
            # A proxy may pass on the name and the password that it asked for itself.
            if scheme.lower() == b"bearer":
                return self._ring.caller(token.strip())
        if b"cookie" in fields:
            session = _session(fields, path)
            caller = None if session is None else self._ring.of_session(session)
            if caller is not None:
                return caller
        return NOBODY if self._required or not self._passed_on.isdisjoint(fields) else LOCAL

    async def until_it_ends(self, caller: Caller, fields: dict[bytes, bytes], path: str) -> None:
        """Return when what whoever sent these may is another than it was."""
        await self._ring.until_it_ends(caller, None if b"authorization" in fields else _session(fields, path))


def _session(fields: dict[bytes, bytes], path: str) -> bytes | None:
    if not path.startswith(ROOT):
        return None
    found = session_in(fields.get(b"cookie", b""))
    return None if found is None else found.encode("utf-8", "replace")
