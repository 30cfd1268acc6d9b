"""What is around a page: navigation, footer, stream; and the same page as a stream tells it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from pointsman_contract import RELEASE
from pointsman_contract.log_text import in_one_line
from pointsman_service.access.links import PARAMETER
from pointsman_service.api.answers.answer import Answer, Headers
from pointsman_service.callers import KnownBy
from pointsman_service.dashboard import flash, forms, session
from pointsman_service.dashboard.answers import html, new_nonce
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.assets import release_mark
from pointsman_service.dashboard.components.moments import machine
from pointsman_service.dashboard.links import Links
from pointsman_service.dashboard.page import Done, Page, Shown
from pointsman_service.dashboard.preferences import COOKIE as PREFERENCES
from pointsman_service.dashboard.preferences import SECONDS as PREFERENCES_SECONDS
from pointsman_service.dashboard.preferences import Preferences
from pointsman_service.dashboard.rendering import as_loaded, asset_path, fragments, live_blocks, render
from pointsman_service.dashboard.rooms import Look, mark_of, partials
from pointsman_service.dashboard.targets import target_of
from pointsman_service.errors import PointsmanError
from pointsman_service.now.picture import Link, LinkKind

NOWHERE = Page("", "", question="")
"""Where a fault is shown: it is in no navigation, and nothing of it is live."""
_TITLE_END = "Pointsman"


@dataclass(frozen=True)
class Frame:
    """What belongs to one browser and one answer."""

    links: Links
    back: str
    """The page with its query."""
    nonce: str
    secret: str
    preferences: Preferences
    again: str = ""
    """The link that loads the page again; empty: that of the address."""
    done: Done | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()

    @classmethod
    def of_request(cls, scope: Any, links: Links, path: str, back: str | None = None) -> Self:
        """With what the cookies of a request say; a new browser gets its cookie, and what was done is said once, by the
        page that it leads to: another tab may ask for another one first.

        ``back``: the path of the page, with its query, where it is not what was asked for.
        """
        cookies = forms.cookies_of(scope)
        headers: Headers = []
        secret = cookies.get(forms.COOKIE, "")
        if not secret:
            secret = forms.new_secret()
            # It outlives the browser: tabs that come back with it, all at once, would each be given another one.
            headers.append(session.cookie(forms.COOKIE, secret, scope, seconds=PREFERENCES_SECONDS))
        done = flash.unpacked(cookies)
        if done is not None and done.path.partition("?")[0] != path:
            done = None
        if done is not None:
            headers += [session.cookie(name, "", scope, seconds=0) for name in flash.COOKIES if name in cookies]
        query = scope.get("query_string", b"").decode("latin-1")
        # Who comes with a link has it in the address alone.
        asked = f"{path}?{query}" if query and scope["caller"].known_by is not KnownBy.LINK else path
        return cls(
            links=links,
            back=asked if back is None else back,
            again="" if back is None else links.to(back),
            nonce=new_nonce(),
            secret=secret,
            preferences=Preferences.read(cookies.get(PREFERENCES)),
            done=done,
            headers=headers,
        )


def page(frame: Frame, scope: Any, shown: Shown, ask: Ask, pages: Sequence[Page], *, live: bool = True) -> Answer:
    """The whole page."""
    values = _values(shown, ask, frame, pages)
    view = shown.view
    stream, found = None, {}
    if live and live_blocks(view.template):
        found = dict(fragments(view.template, values | {"live": True, "token": ""}))
        shown_by = {PARAMETER: ask.query.get(PARAMETER)} if ask.caller.known_by is KnownBy.LINK else {}
        stream = ask.links("stream", of=frame.back, seen=mark_of(found), **shown_by)
    inside = {name: as_loaded(content, values["token"], shown.as_of) for name, content in found.items()}
    text = render(view.template, values | {"stream": stream}, inside)
    return html(scope, text, frame.nonce, status=view.status, headers=list(frame.headers))


def look(shown: Shown, ask: Ask, pages: Sequence[Page]) -> Look:
    """The live blocks of a page, for everybody who looks at it."""
    values = _values(shown, ask, None, pages)
    view = shown.view
    beat = {
        "at": machine(datetime.now(UTC)),
        "age": 0.0,
        "as_of": machine(shown.as_of),
        "recorded": None if shown.recorded_up_to is None else machine(shown.recorded_up_to),
        "title": values["title"],
        "says": view.says,
        "missing": list(view.missing),
        "fault": None,
        "release": release_mark(),
    }
    return Look(dict(fragments(view.template, values)), beat)


def fault_beat(fault: PointsmanError) -> dict[str, Any]:
    """What a stream says while it cannot look."""
    return {"fault": fault.detail, "release": release_mark()}


def once(found: Look, seen: str) -> Answer:
    """A look for a browser that has streams enough: it asks again after a while."""
    body = "" if found.fault is not None or found.mark == seen else partials(found.fragments)
    beat = json.dumps({"beat": found.beat}).encode("ascii")
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"hx-trigger", beat),
    ]
    return Answer(200, headers, body.encode())


def _values(shown: Shown, ask: Ask, frame: Frame | None, pages: Sequence[Page]) -> dict[str, Any]:
    """What templates have. In what is shared between viewers there is nothing of any one of them."""
    view = shown.view
    names = frozenset(one.name for one in pages)
    label = shown.page.label or ("" if shown.page is NOWHERE else shown.page.question)
    return {
        "again": "" if frame is None else frame.again,
        "ask": ask,
        "asset": asset_path,
        "back": "" if frame is None else frame.back,
        "done": None if frame is None else frame.done,
        "here": shown.page.name if shown.page.label else None,
        "links": ask.links,
        "live": ask.live,
        "mark": release_mark(),
        "may": ask.caller.may,
        "missing": view.missing,
        "nonce": "" if frame is None else frame.nonce,
        "now": shown.as_of,
        "pages": pages,
        "preferences": Preferences() if frame is None else frame.preferences,
        "recorded_up_to": shown.recorded_up_to,
        "refused": ask.refused,
        "release": RELEASE,
        "stream": None,
        "target": lambda link: target_of(link, names),
        "title": in_one_line(" · ".join(part for part in (view.title, label, _TITLE_END) if part)),
        "token": "" if frame is None else forms.token_of(frame.secret),
        "where": lambda kind, name: None if name is None else target_of(Link(LinkKind(kind), str(name)), names),
        **view.values,
    }
