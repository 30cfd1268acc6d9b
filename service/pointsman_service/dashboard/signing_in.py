"""Sign in with a key, and out."""

from collections.abc import Mapping
from typing import Any

from pointsman_service.api.answers.answer import Answer, Headers
from pointsman_service.api.parts import Parts
from pointsman_service.callers import Caller
from pointsman_service.dashboard import forms, session
from pointsman_service.dashboard.answers import see_other
from pointsman_service.dashboard.links import Links, place
from pointsman_service.dashboard.page import View
from pointsman_service.errors import DatabaseAway, PointsmanError, Unauthorized
from pointsman_service.telemetry import client_address

SIGN_IN = "sign-in"
SIGN_OUT = "sign-out"
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
            values={"back_to": back, "unsafe": unsafe, "wrong": None if fault is None else fault.detail},
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
        begun = await self._parts.sessions.begin(caller)
        # The next request asks this process.
        await self._parts.keys.try_refresh()
        headers: Headers = session.set_session(scope, begun.token, self._parts.sessions.seconds)
        # Whoever gave the browser its cookie for forms before knows no longer what they are sealed with.
        headers.append(forms.cookie(forms.COOKIE, forms.new_secret(), scope))
        return see_other(Links().to(back), headers)

    async def end(self, scope: Any, caller: Caller) -> Answer:
        """Signed out."""
        client_address.set(scope["client"][0] if scope.get("client") else None)
        token = session.session_in(dict(scope["headers"]).get(b"cookie", b""))
        if token is not None:
            await self._parts.sessions.end(caller, token)
            await self._parts.keys.try_refresh()
        return see_other(Links().to(SIGN_IN), session.set_session(scope, "", 0))
