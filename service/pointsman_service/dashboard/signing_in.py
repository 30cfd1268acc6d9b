"""Sign in with a key or through the issuer, and out."""

from collections.abc import Mapping
from typing import Any

from pointsman_service.access.code_flow import KEPT_SECONDS, CodeFlow
from pointsman_service.api.answers.answer import Answer, Headers
from pointsman_service.api.parts import Parts
from pointsman_service.api.requests.origin import is_secure, origin_of
from pointsman_service.callers import Caller
from pointsman_service.dashboard import flash, forms, session
from pointsman_service.dashboard.answers import see_other
from pointsman_service.dashboard.links import ROOT, Links, place
from pointsman_service.dashboard.page import View
from pointsman_service.errors import DatabaseAway, NotFound, PointsmanError, Unauthorized, Unavailable
from pointsman_service.telemetry import client_address

SIGN_IN = "sign-in"
SIGN_OUT = "sign-out"
ISSUER = "sign-in/issuer"
"""From here a browser is sent to the issuer. A link leads there and no form: a policy for forms would have to name
where they lead in the end."""
ISSUER_BACK = "sign-in/issuer/back"
_UNSAFE = (
    "Keys are typed over TLS, or on the machine of the API (http://localhost): anybody on the way could read this one."
)


class SigningIn:
    """For one API process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def asked(self, back: str) -> Answer:
        """Lead to where one signs in, and then back."""
        return see_other(Links(back.partition("?")[0].count("/")).to(place(SIGN_IN, back=back)))

    def view(self, scope: Any, back: str, fault: PointsmanError | None = None) -> View:
        """Where one signs in."""
        unsafe = None if session.may_sign_in(scope) else _UNSAFE
        return View(
            template="sign_in.html",
            title="",
            status=200 if fault is None else fault.status,
            values={
                "back_to": back,
                "unsafe": unsafe,
                "wrong": None if fault is None else fault.detail,
                "issuer": None if self._parts.code_flow is None else self._parts.code_flow.name,
            },
        )

    async def begin(self, scope: Any, form: Mapping[str, str], back: str) -> Answer | PointsmanError:
        """Signed in, and back at the page; or what is wrong with the key."""
        if not session.may_sign_in(scope):
            return Unauthorized(_UNSAFE)
        client_address.set(scope["client"][0] if scope.get("client") else None)
        try:
            caller = self._parts.keys.caller(form.get("key", "").strip().encode("utf-8", "replace"))
        except (Unauthorized, DatabaseAway) as error:
            return error
        return await self._signed_in(scope, caller, Links().to(back))

    async def send(self, scope: Any, back: str) -> Answer | PointsmanError:
        """Lead to the issuer, and then back; or what is wrong with that."""
        if not session.may_sign_in(scope):
            return Unauthorized(_UNSAFE)
        try:
            begun = await self._code_flow.begin(self._redirect_uri(scope), back)
        except Unavailable as error:
            return error
        return see_other(begun.url, [session.set_begun(scope, begun.kept, KEPT_SECONDS)])

    async def receive(self, scope: Any, said: Mapping[str, str]) -> tuple[Caller, str] | PointsmanError:
        """Who comes back from the issuer, and where they go on; or what is wrong with that."""
        kept = session.begun_in(forms.cookies_of(scope))
        try:
            return await self._code_flow.finish(self._redirect_uri(scope), kept, said)
        except (Unauthorized, Unavailable) as error:
            return error

    async def let_in(self, scope: Any, caller: Caller, back: str) -> Answer:
        """Signed in through the issuer, and back at the page."""
        answer = await self._signed_in(scope, caller, Links(ISSUER_BACK.count("/")).to(back))
        return answer._replace(headers=[*answer.headers, session.set_begun(scope, "", 0)])

    @property
    def _code_flow(self) -> CodeFlow:
        if self._parts.code_flow is None:
            raise NotFound("There is no such page.")
        return self._parts.code_flow

    def _redirect_uri(self, scope: Any) -> str:
        """Where the issuer sends browsers back to: below the address that people reach the API at, where they are
        there.
        """
        return f"{origin_of(scope, self._parts.settings)}{ROOT}/{ISSUER_BACK}"

    async def _signed_in(self, scope: Any, caller: Caller, to: str) -> Answer:
        client_address.set(scope["client"][0] if scope.get("client") else None)
        begun = await self._parts.sessions.begin(caller)
        # The next request asks this process.
        await self._parts.keys.try_refresh()
        headers: Headers = session.set_session(scope, begun.token, self._parts.sessions.seconds)
        # Whoever gave the browser its cookie for forms before knows no longer what they are sealed with.
        headers.append(session.cookie(forms.COOKIE, forms.new_secret(), scope))
        return see_other(to, headers)

    async def end(self, scope: Any, caller: Caller) -> Answer:
        """Signed out."""
        client_address.set(scope["client"][0] if scope.get("client") else None)
        token = session.session_in(dict(scope["headers"]).get(b"cookie", b""), over_tls=is_secure(scope))
        if token is not None:
            await self._parts.sessions.end(caller, token)
            await self._parts.keys.try_refresh()
        # Whoever comes next to this browser is not told what was done.
        said = [session.cookie(name, "", scope, seconds=0) for name in flash.COOKIES]
        return see_other(Links().to(SIGN_IN), [*session.set_session(scope, "", 0), *said])
