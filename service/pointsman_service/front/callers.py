"""Who calls, from the header fields of a request."""

from pointsman_service.access.ring import KeyRing
from pointsman_service.callers import LOCAL, NOBODY, Caller
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
        self.until_it_ends = ring.until_it_ends

    def of(self, fields: dict[bytes, bytes]) -> Caller:
        """Whoever sent these. Who shows no key where one is asked for is ``NOBODY``, and what they ask for decides.

        Raises ``KeyUnknown``, ``KeyExpired``, ``KeyRevoked`` and ``DatabaseAway`` for a key that is shown.
        """
        given = fields.get(b"authorization")
        if given is not None:
            scheme, _, token = given.partition(b" ")
            # A proxy may pass on the name and the password that it asked for itself.
            if scheme.lower() == b"bearer":
                return self._ring.caller(token.strip())
        return NOBODY if self._required or not self._passed_on.isdisjoint(fields) else LOCAL
