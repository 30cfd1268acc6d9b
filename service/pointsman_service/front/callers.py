"""Who calls, from the header fields of a request, and from its address where that is a signed link."""

import re
from urllib.parse import parse_qs
from uuid import UUID

from pointsman_service.access import links
from pointsman_service.access.bearer import BearerTokens
from pointsman_service.access.ring import KeyRing
from pointsman_service.api.requests.origin import says_tls
from pointsman_service.callers import LOCAL, NOBODY, Caller, KnownBy
from pointsman_service.dashboard.links import ROOT
from pointsman_service.dashboard.session import session_in
from pointsman_service.errors import LinkExpired, LinkUnknown
from pointsman_service.settings import Settings

_PASSED_ON = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip"})
"""What proxies say of whom they ask for."""

_LINKED = re.compile(rf"(?:/v1/tasks|{ROOT}/shared)/([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})(?:/events)?")
"""What a link may open."""
_LINK = f"{links.PARAMETER}=".encode()
_MOST_PARAMETERS = 20
_STREAM = f"{ROOT}/stream"


class KnownCallers:
    """Callers by their keys, and by tokens of the issuer where there is one; without either whoever asks from this
    machine, where nobody else can reach it.

    What a proxy on this machine passes on comes from elsewhere, though its address does not say so.
    """

    def __init__(self, ring: KeyRing, settings: Settings, tokens: BearerTokens | None = None) -> None:
        """Without ``tokens`` those of an issuer are keys that nobody has."""
        self._ring = ring
        self._fresh = ring.fresh
        self._tokens = tokens
        self._required = settings.asks_for_keys
        self._passed_on = _PASSED_ON if settings.keys_required is None else frozenset()

    def of(self, fields: dict[bytes, bytes], path: str, query: bytes = b"") -> Caller | None:
        """Whoever sent these; for pages whoever signed in, too: a cookie opens nothing else. Who shows no key where one
        is asked for is ``NOBODY``, and what they ask for decides. None: ``find`` says who it is. A signed link in the
        address of what it was made for counts alone.

        Raises ``KeyUnknown``, ``KeyExpired``, ``KeyRevoked`` and ``DatabaseAway`` for a key that is shown, and
        ``TokenExpired`` for a token, and ``LinkUnknown`` and ``LinkExpired`` for a link.
        """
        if query and _LINK in query:
            linked = self._linked(path, query)
            if linked is not None:
                return linked[1]
        if b"authorization" in fields:
            shown = fields[b"authorization"]
            # Nearly every submission with a key ends here, so nothing is called for it.
            if shown in self._fresh:
                return self._fresh[shown]
            if (token := _bearer(fields)) is not None:
                if self._tokens is not None and self._tokens.is_token(token):
                    return self._tokens.caller_of(token)
                holder = self._ring.caller(token)
                self._ring.remember(shown, holder)
                return holder
        if b"cookie" in fields:
            session = _session(fields, path)
            caller = None if session is None else self._ring.of_session(session)
            if caller is not None:
                return caller
        return NOBODY if self._required or not self._passed_on.isdisjoint(fields) else LOCAL

    async def find(self, fields: dict[bytes, bytes]) -> Caller:
        """Whoever sent these, with a token that is not known yet. Raises ``TokenInvalid``, ``TokenExpired`` and
        ``IssuerAway``.
        """
        token = _bearer(fields)
        assert token is not None
        assert self._tokens is not None
        return await self._tokens.find_caller(token)

    async def check_still(self, fields: dict[bytes, bytes], path: str, query: bytes = b"") -> None:
        """Raises what is wrong by now with what these came with."""
        if self.of(fields, path, query) is None:
            await self.find(fields)

    async def until_it_ends(self, caller: Caller, fields: dict[bytes, bytes], path: str, query: bytes = b"") -> None:
        """Return when what whoever sent these may is another than it was."""
        if caller.known_by is KnownBy.LINK:
            try:
                linked = self._linked(path, query)
            except (LinkUnknown, LinkExpired):
                return
            if linked is not None:
                await self._ring.until_link_ends(linked[0].maker, linked[0].expires_at)
            return
        token = _bearer(fields)
        if caller.known_by is KnownBy.OIDC and token is not None and self._tokens is not None:
            await self._tokens.until_it_ends(token)
            return
        # What a proxy asks for itself opens nothing here, so the session does.
        await self._ring.until_it_ends(caller, None if token is not None else _session(fields, path))

    def _linked(self, path: str, query: bytes) -> tuple[links.Link, Caller] | None:
        """The link of an address, and who comes with it; None: a link opens no such thing."""
        given = _parameters(query)
        if path == _STREAM:
            of = given.get("of", [])
            # Of several the pages take another one.
            path = f"{ROOT}/{of[0]}" if len(of) == 1 else ""
        opens, signed = _LINKED.fullmatch(path), given.get(links.PARAMETER, [])
        if opens is None or not signed:
            return None
        if len(signed) > 1 or len(signed[0]) > links.LONGEST:
            raise LinkUnknown
        return links.opened(self._ring, UUID(opens[1]), signed[0], self._ring.now())


def _parameters(query: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(query.decode("latin-1"), max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        return {}


def _bearer(fields: dict[bytes, bytes]) -> bytes | None:
    scheme, _, token = fields.get(b"authorization", b"").partition(b" ")
    # A proxy may pass on the name and the password that it asked for itself.
    return token.strip() if scheme.lower() == b"bearer" else None


def _session(fields: dict[bytes, bytes], path: str) -> bytes | None:
    if not path.startswith(ROOT):
        return None
    found = session_in(fields.get(b"cookie", b""), over_tls=says_tls(fields))
    return None if found is None else found.encode("utf-8", "replace")
