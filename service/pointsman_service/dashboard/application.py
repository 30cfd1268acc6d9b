"""The dashboard as an ASGI application: what is asked for, by which page it is answered, and what it looks like when it
cannot be.
"""

import asyncio
import math
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from pointsman_service.access.checking import check_right, check_scope
from pointsman_service.api.answers.answer import Answer
from pointsman_service.api.parts import Parts
from pointsman_service.api.problems.answering import ANSWER_BEGUN, log_failure
from pointsman_service.api.problems.translation import as_error
from pointsman_service.api.requests.origin import origin_of
from pointsman_service.callers import Caller, KnownBy
from pointsman_service.dashboard import flash, forms, frames, session
from pointsman_service.dashboard.answers import accepts_gzip, see_other
from pointsman_service.dashboard.asking import Ask, Refused
from pointsman_service.dashboard.assets import asset_at
from pointsman_service.dashboard.frames import Frame
from pointsman_service.dashboard.links import ROOT, Links
from pointsman_service.dashboard.page import Page, Route, Shown, View
from pointsman_service.dashboard.pages import PAGES, SEARCH, in_navigation, may_see
from pointsman_service.dashboard.preferences import COOKIE as PREFERENCES
from pointsman_service.dashboard.preferences import SECONDS as PREFERENCES_SECONDS
from pointsman_service.dashboard.preferences import Preferences
from pointsman_service.dashboard.rooms import Key, Look
from pointsman_service.dashboard.signing_in import ISSUER, ISSUER_BACK, SIGN_IN, SIGN_OUT, SigningIn
from pointsman_service.dashboard.streams import Stream, Streams
from pointsman_service.errors import (
    BadRequest,
    DatabaseAway,
    ExpectedFault,
    KeyMissing,
    MethodNotAllowed,
    NotFound,
    OutsideKey,
    PointsmanError,
    ServiceError,
    Unavailable,
)
from pointsman_service.observe.explain.sentences import broker_away, database_away
from pointsman_service.observe.kept import NotInTime, within
from pointsman_service.telemetry import client_address

_MOST_PARAMETERS = 50
SHARED = "shared"
"""The only page that signed links open."""
_RECORDED_SECONDS = 2.0
"""A page is not kept waiting longer to say up to when is recorded: then PostgreSQL is taken for away."""
_HUNG_SECONDS = 0.5
"""While it does not answer, whatever a page shows is there within so long, or is not to be had: another question would
wait as long as the first.
"""
_STREAM = "stream"
_PREFERENCES = "preferences"
_SENT = "pointsman.form"
"""In the scope of an act: the fields of its form, once its token was found to be right."""
_OF_THE_FORM = frozenset({409, 412, 413, 422, 503})
"""Statuses of what may be put right in a form, or has come about since it was shown."""


class Dashboard:
    """Every page, for one API process."""

    def __init__(self, parts: Parts, pages: tuple[Page, ...] = PAGES) -> None:
        self._parts = parts
        self._pages = pages
        self._routes = [route for page in (*pages, *SEARCH) for route in page.routes]
        self._signing_in = SigningIn(parts)
        self.streams = Streams(
            self._look,
            parts.settings.listeners_most,
            parts.changes,
            self._signs,
            parts.settings.caller_listeners_most,
        )

    def close_streams(self) -> None:
        """End every stream: the process is about to stop."""
        self.streams.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request below ``ROOT``, with its caller in ``scope["caller"]``."""
        try:
            answer = await self._answer(scope, receive)
        except Exception as error:
            if ANSWER_BEGUN in scope:
                raise
            self._parts.refusals.count(error)
            answer = await self._fault(error, scope)
        if isinstance(answer, Answer):
            await answer.send_to(send)
        else:
            await answer(scope, receive, send)

    def refusal(self, error: Exception, scope: Any) -> Answer | None:
        """The answer to a request that what stands before us refused; None: it is none of ours, or begun already."""
        if not scope["path"].startswith(ROOT) or ANSWER_BEGUN in scope:
            return None
        log_failure(error, scope["path"])
        return self._fault_page(as_error(error), scope, None)

    async def _answer(self, scope: Any, receive: Any) -> Answer | Stream:
        path, method = path_of(scope), scope["method"]
        if path.startswith("static/") and method == "GET":
            return asset_at(path).answer(accepts_gzip(scope))
        if path == SIGN_IN and method in ("GET", "POST"):
            return await self._sign_in(scope, receive)
        if path in (ISSUER, ISSUER_BACK) and method == "GET":
            return await self._sign_in_elsewhere(scope, path)
        caller: Caller = scope["caller"]
        if caller.known_by is KnownBy.NOTHING and path != _PREFERENCES:
            if method != "GET" or path == _STREAM:
                raise KeyMissing
            query = scope.get("query_string", b"").decode("latin-1")
            return self._signing_in.asked(f"{path}?{query}" if query else path)
        if path == SIGN_OUT and method == "POST":
            forms.check_token((await forms.read_form(scope, receive)).get(forms.FIELD, ""), _secret_of(scope))
            return await self._signing_in.end(scope, caller)
        if path == _STREAM and method == "GET":
            return await self._stream(scope)
        if path == _PREFERENCES and method == "POST":
            return await self._prefer(scope, receive)
        routes = [(route, names) for route in self._routes if (names := _names(route, path)) is not None]
        if not routes:
            raise NotFound("There is no such page.")
        for route, names in routes:
            if method == "GET" and route.shows is not None:
                return await self._show(route, names, scope, path)
            if method == "POST" and route.acts is not None:
                return await self._act(route, names, scope, path, receive)
        if method == "GET" and (around := self._around(path)) is not None:
            # A tab that comes back asks for the address that a form was sent to.
            return see_other(Links(path.count("/")).to(around[2]))
        return _allowed([route for route, _ in routes], method)

    # What is shown

    async def _show(self, route: Route, names: Mapping[str, Any], scope: Any, path: str) -> Answer:
        caller = scope["caller"]
        if not path and not may_see(caller, route.page) and (others := in_navigation(self._pages, caller)):
            # Whoever may not see how everything goes begins with what they may.
            return see_other(Links().to(others[0].name))
        _check(caller, route.page)
        ask = self._ask(caller, path, names, pairs_of(scope))
        shown = await self._shown(route, ask)
        if shown.view.instead:
            return see_other(ask.links.to(shown.view.instead))
        frame = Frame.of_request(scope, ask.links, path)
        return frames.page(frame, scope, shown, ask, in_navigation(self._pages, ask.caller))

    def _ask(self, caller: Caller, path: str, names: Mapping[str, Any], pairs: Sequence[tuple[str, str]]) -> Ask:
        every: dict[str, list[str]] = {}
        for name, value in pairs:
            every.setdefault(name, []).append(value)
        return Ask(
            parts=self._parts,
            caller=caller,
            path=path,
            names=names,
            query=dict(pairs),
            every=every,
            now=datetime.now(UTC),
        )

    async def _shown(self, route: Route, ask: Ask) -> Shown:
        assert route.shows is not None
        # Before the figures: they lack nothing that was reported before this.
        if route.page.own_times:
            view = await route.shows(ask)
            return Shown(view, route.page, view.as_of or ask.now, view.recorded_up_to)
        recorded, away, hangs = await self._recorded()
        broker, view = await asyncio.gather(
            self._parts.views.broker.state(), _unless_it_hangs(route.shows(ask)) if hangs else route.shows(ask)
        )
        if not broker.up:
            away = [*away, broker_away(broker.reason)]
        # A page may say the same, and more of it.
        away = [one for one in away if not any(more.startswith(one) for more in view.missing)]
        if away:
            view = replace(view, missing=[*away, *view.missing])
        return Shown(view, route.page, view.as_of or ask.now, recorded)

    async def _recorded(self) -> tuple[datetime | None, Sequence[str], bool]:
        """Up to when is recorded; that PostgreSQL is away: a page that needs it is not shown then at all; and whether
        that is because it does not answer, so that whoever asks it would wait.
        """
        recorded = self._parts.views.recorded
        try:
            try:
                return await recorded.soon(_RECORDED_SECONDS), (), False
            except ExpectedFault:
                # Of a server that was started again; of one that hangs the next is no answer either.
                return await recorded.soon(_RECORDED_SECONDS), (), False
        except DatabaseAway as error:
            return None, [database_away(error.said)], not error.said
        except NotInTime:
            return None, [database_away("")], True
        except ServiceError:
            return None, (), False

    # What is streamed

    async def _stream(self, scope: Any) -> Answer | Stream:
        query = dict(pairs_of(scope))
        target = query.get("of", "")
        route, _ = self._found(target)
        _check(scope["caller"], route.page)
        fields = dict(scope["headers"])
        seen = fields.get(b"last-event-id", query.get("seen", "").encode()).decode("latin-1")
        key = Key(target, scope["caller"])
        browser = forms.cookies_of(scope).get(forms.COOKIE, "")
        if not self.streams.has_room_for(browser):
            return frames.once(await self._look(key), seen)
        self.streams.check(scope["caller"])
        return self.streams.stream(key, browser, route.pace, seen)

    def _found(self, target: str) -> tuple[Route, Mapping[str, Any]]:
        path = target.partition("?")[0]
        for route in self._routes:
            if route.shows is not None and (names := _names(route, path)) is not None:
                return route, names
        raise NotFound("There is no such page.")

    def _around(self, path: str) -> tuple[Route, Mapping[str, Any], str] | None:
        """The page with the form that is sent to this path, or the nearest above it, and its own path."""
        while path:
            try:
                return *self._found(path), path
            except NotFound:
                path = path.rpartition("/")[0]
        return None

    async def _signs(self) -> object:
        """Whether Redis is there, who lives, and how busy each is; what was set aside."""
        state, liveness = await self._parts.views.broker.state(), self._parts.views.workers.liveness
        dead = frozenset() if liveness is None else frozenset(liveness.dead())
        return state.up, dead, state.busy, state.ejected, state.set_aside

    async def _look(self, key: Key) -> Look:
        path, _, query = key.target.partition("?")
        try:
            route, names = self._found(key.target)
            ask = replace(self._ask(key.caller, path, names, _parameters(query)), live=True)
            return frames.look(await self._shown(route, ask), ask, in_navigation(self._pages, ask.caller))
        except Exception as error:
            fault = as_error(error)
            if not isinstance(fault, Unavailable | NotFound):
                log_failure(error, f"{ROOT}/{path}")
            return Look(beat=frames.fault_beat(fault), fault=fault.detail)

    # What is done

    async def _act(self, route: Route, names: Mapping[str, Any], scope: Any, path: str, receive: Any) -> Answer:
        assert route.acts is not None
        form = await forms.read_form(scope, receive)
        forms.check_token(form.pop(forms.FIELD, ""), forms.cookies_of(scope).get(forms.COOKIE))
        scope[_SENT] = form
        caller = scope["caller"]
        _check(caller, route.page)
        check_right(caller, route.kind)
        client_address.set(scope["client"][0] if scope.get("client") else None)
        ask = replace(self._ask(caller, path, names, pairs_of(scope)), form=form, root=self._root_of(scope))
        try:
            done = await route.acts(ask)
        except Exception as error:
            ask, done = await self._form_again(ask, error)
            self._parts.refusals.count(error)
        self._parts.now.forget()
        if isinstance(done, View):
            around = self._around(path)
            back = None if around is None else _with_query(around[2], scope)
            frame = Frame.of_request(scope, ask.links, path, back)
            recorded, _, _ = await self._recorded()
            shown = Shown(done, route.page, ask.now, recorded)
            return frames.page(frame, scope, shown, ask, in_navigation(self._pages, ask.caller), live=False)
        cookies = flash.packed(done).items()
        return see_other(
            ask.links.to(done.path),
            [session.cookie(name, value, scope, seconds=flash.SECONDS) for name, value in cookies],
        )

    def _root_of(self, scope: Any) -> str:
        return f"{origin_of(scope, self._parts.settings)}{ROOT}"

    async def _form_again(self, ask: Ask, error: Exception) -> tuple[Ask, View]:
        """The page that the form is on, as it was filled in and with what is wrong. Raises ``error`` where that is no
        matter of the form, or the page cannot be shown.
        """
        fault, around = as_error(error), self._around(ask.path)
        if around is None or fault.status not in _OF_THE_FORM:
            raise error
        route, names, _ = around
        assert route.shows is not None
        again = replace(ask, names=names, refused=Refused.by(ask.path, fault))
        try:
            _check(ask.caller, route.page)
            view = await route.shows(again)
        except Exception as another:
            log_failure(another, f"{ROOT}/{around[2]}")
            raise error from None
        if fault.status == Unavailable.status:
            log_failure(error, f"{ROOT}/{ask.path}")
        return again, replace(view, status=fault.status)

    async def _prefer(self, scope: Any, receive: Any) -> Answer:
        form = await forms.read_form(scope, receive)
        cookies = forms.cookies_of(scope)
        forms.check_token(form.pop(forms.FIELD, ""), cookies.get(forms.COOKIE))
        chosen = Preferences.read(cookies.get(PREFERENCES)).changed(form)
        back = self._page_to(form.get("back", ""))
        cookie = session.cookie(PREFERENCES, chosen.packed, scope, seconds=PREFERENCES_SECONDS)
        return see_other(Links().to(back), [cookie])

    async def _sign_in(self, scope: Any, receive: Any) -> Answer:
        back = self._page_to(dict(pairs_of(scope)).get("back", ""))
        fault = None
        if scope["method"] == "POST":
            form = await forms.read_form(scope, receive)
            forms.check_token(form.pop(forms.FIELD, ""), _secret_of(scope))
            answer = await self._signing_in.begin(scope, form, back)
            if isinstance(answer, Answer):
                return answer
            fault = answer
        return self._where_one_signs_in(scope, SIGN_IN, back, fault)

    async def _sign_in_elsewhere(self, scope: Any, path: str) -> Answer:
        """To the issuer, and from there: what it says of who comes back is in the address."""
        said = dict(pairs_of(scope))
        if path == ISSUER:
            back = self._page_to(said.get("back", ""))
            sent = await self._signing_in.send(scope, back)
            return sent if isinstance(sent, Answer) else self._where_one_signs_in(scope, path, back, sent)
        received = await self._signing_in.receive(scope, said)
        if isinstance(received, PointsmanError):
            return self._where_one_signs_in(scope, path, "", received)
        caller, back = received
        return await self._signing_in.let_in(scope, caller, self._page_to(back))

    def _where_one_signs_in(self, scope: Any, path: str, back: str, fault: PointsmanError | None) -> Answer:
        if fault is not None:
            self._parts.refusals.count(fault)
        ask = self._ask(scope["caller"], path, {}, ())
        shown = Shown(self._signing_in.view(scope, back, fault), frames.NOWHERE, ask.now, None)
        frame = Frame.of_request(scope, ask.links, SIGN_IN, None if path == SIGN_IN else "")
        return frames.page(frame, scope, shown, ask, in_navigation(self._pages, ask.caller), live=False)

    def _page_to(self, back: str) -> str:
        """The path of one of our pages; what is none leads to the first."""
        try:
            self._found(back)
        except NotFound:
            return ""
        return back

    # What cannot be answered

    async def _fault(self, error: Exception, scope: Any) -> Answer:
        log_failure(error, scope["path"])
        fault = as_error(error)
        readiness = await self._parts.views.readiness.read() if isinstance(fault, Unavailable) else None
        if readiness is not None and not readiness.parts["database"].ok:
            fault = DatabaseAway("PostgreSQL is away, so this page cannot be shown now.")
        return self._fault_page(fault, scope, None if readiness is None else readiness.parts)

    def _fault_page(self, fault: PointsmanError, scope: Any, parts: Mapping[str, Any] | None) -> Answer:
        path, asks = path_of(scope), scope["method"] in ("GET", "HEAD")
        ask = self._ask(scope["caller"], path, {}, ())
        around = self._around(path if not asks else path.rpartition("/")[0])
        view = View(
            template="fault.html",
            title=fault.title,
            values={
                "fault": fault,
                "parts": parts,
                # What was to be done is not done by itself once it can be.
                "retries": asks and isinstance(fault, Unavailable),
                "around": None if around is None else around[2],
                "sent": scope.get(_SENT) if isinstance(fault, Unavailable) else None,
                "sent_to": _with_query(path, scope),
            },
            status=fault.status,
        )
        shown = Shown(view, frames.NOWHERE, ask.now, None)
        frame = Frame.of_request(scope, ask.links, path, None if asks else "" if around is None else around[2])
        answer = frames.page(frame, scope, shown, ask, in_navigation(self._pages, ask.caller), live=False)
        if fault.retry_after_seconds is None:
            return answer
        seconds = max(1, math.ceil(fault.retry_after_seconds))
        return answer._replace(headers=[*answer.headers, (b"retry-after", b"%d" % seconds)])


async def _unless_it_hangs(shown: Awaitable[View]) -> View:
    """Raises ``DatabaseAway`` where it waits for PostgreSQL, which does not answer."""
    try:
        return await within(_HUNG_SECONDS, shown)
    except NotInTime as error:
        raise DatabaseAway(database_away("")) from error


def _check(caller: Caller, page: Page) -> None:
    """Raises what keeps a caller from a page. A key that is narrowed shows none: each is about everything."""
    if caller.task_id is not None and page.name != SHARED:
        raise KeyMissing
    if page.reads is not None:
        check_scope(caller, page.reads)
    if page.reads is not None and caller.is_narrowed:
        raise OutsideKey("This key is narrowed to task types or queues, and pages are about everything.")


def path_of(scope: Any) -> str:
    """The path below the dashboard, quoted as it came."""
    raw = scope.get("raw_path")
    path: str = scope["path"] if raw is None else raw.partition(b"?")[0].decode("latin-1")
    return path.partition(f"{ROOT}/")[2]


def _with_query(path: str, scope: Any) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path


def pairs_of(scope: Any) -> list[tuple[str, str]]:
    """The parameters of a request that are not empty. Raises ``BadRequest``."""
    return _parameters(scope.get("query_string", b"").decode("latin-1"))


def _parameters(query: str) -> list[tuple[str, str]]:
    try:
        given = parse_qsl(query, errors="strict", max_num_fields=_MOST_PARAMETERS)
    except ValueError as error:
        raise BadRequest("The parameters of this address cannot be read.") from error
    if any("\x00" in name or "\x00" in value for name, value in given):
        # Left out it would narrow nothing.
        raise BadRequest("A parameter of this address holds a NUL character.")
    return [(name, value.strip()) for name, value in given if value.strip()]


def _secret_of(scope: Any) -> str | None:
    return forms.cookies_of(scope).get(forms.COOKIE)


def _names(route: Route, path: str) -> dict[str, Any] | None:
    found = route.match(path)
    if found is None:
        return None
    names = {name: _plain(value) for name, value in found.items()}
    # Nothing of ours has such a name, and nothing can be asked about it.
    return None if any(isinstance(name, str) and "\x00" in name for name in names.values()) else names


def _plain(value: Any) -> Any:
    return unquote(value) if isinstance(value, str) else value


def _allowed(routes: list[Route], method: str) -> Answer:
    methods = {"OPTIONS"} | {"GET" if route.acts is None else "POST" for route in routes}
    if "GET" in methods:
        methods.add("HEAD")
    allow = (b"allow", ", ".join(sorted(methods)).encode())
    if method == "OPTIONS":
        return Answer(HTTPStatus.NO_CONTENT, [allow], b"")
    fault = MethodNotAllowed()
    return Answer(fault.status, [allow, (b"content-type", b"text/plain; charset=utf-8")], fault.detail.encode())
