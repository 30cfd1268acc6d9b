"""What the page Now draws of a picture: each sentence, and links to what has a page."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from pointsman_service.callers import LOCAL, Caller, KnownBy
from pointsman_service.dashboard import frames
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.now.page import page, show
from pointsman_service.dashboard.page import Page, Shown
from pointsman_service.dashboard.preferences import Preferences
from pointsman_service.dashboard.rendering import as_loaded, fragments
from pointsman_service.dashboard.targets import target_of
from pointsman_service.now import picture
from pointsman_service.now.picture import Link, LinkKind, Part

AT = datetime(2026, 11, 29, 8, 34, 12, tzinfo=UTC)
BREAKER = Link(LinkKind.BREAKER, "dependency:api.bank.example/v1")
TAGGED = Link(LinkKind.TASKS, filter={"state": "queued", "tag": "a:b"})
CAUSE = picture.Cause(
    severity=picture.Urgency.PAGE,
    kind="breaker_open",
    subject="dependency:api.bank.example/v1",
    since=datetime(2026, 11, 29, 8, 30, tzinfo=UTC),
    parts=(Part("api.bank.example/v1", BREAKER), Part(" has failed")),
    consequences=((Part("212 tasks are held.", Link(LinkKind.TASKS, filter={"state": "held"})),),),
    being_done=(Part("It is tried again in 41 s."),),
    remedies=(picture.Remedy("Probe it.", BREAKER, command="curl x"),),
    error=picture.CauseError("ConnectTimeout", "no answer from <host>", "01a2", 31),
)
LINE = picture.QueueLine(
    name="external_api", priority=5, sla_seconds=10, met_today=0.961, oldest_wait_seconds=50,
    predicted=picture.Predicted(None, "breaker_open"), in_per_minute=80.0, out_per_minute=2.0, in_series=(1, 2, None),
    out_series=(), waiting=7, running=1, held=212, busy=1, processes=1, state=picture.QueueState.HELD,
    state_since=None, state_reason="212 tasks held",
)  # fmt: skip
NOW = picture.Now(
    as_of=AT, recorded_up_to=AT, verdict=picture.Overall.DEGRADED, sentence="api.bank.example has failed.",
    causes=(CAUSE,), queues=(LINE,), breakers=(), breakers_in_all=0, errors=(), changes=(), lately=(), last_hour=None,
)  # fmt: skip


class Parts:
    """What the page asks."""

    def __init__(self, now: picture.Now) -> None:
        self._now = now
        self.now = self
        self.settings: Any = type("Settings", (), {"alert_base_url": None, "host": "127.0.0.1", "port": 8000})
        self.catalogue = self

    async def read(self, *, reads_payloads: bool) -> picture.Now:
        assert reads_payloads
        return self._now

    def places(self, _: object) -> list[object]:
        return []


async def drawn(now: picture.Now, *built: str, caller: Caller = LOCAL) -> dict[str, str]:
    """The live blocks of the page, where these pages are built."""
    parts: Any = Parts(now)
    ask = Ask(parts=parts, caller=caller, path="", now=AT, live=True)
    shown = Shown(await show(ask), page, AT, AT)
    return dict(frames.look(shown, ask, [page, *(Page(name, name, question="") for name in built)]).fragments)


async def test_a_cause_is_told_whole_and_what_has_a_page_is_a_link() -> None:
    told = (await drawn(NOW, "breakers", "tasks"))["live-causes"]
    assert '<a href="./breakers/dependency/api.bank.example%2Fv1">api.bank.example/v1</a> has failed' in told
    assert '<a href="./tasks?state=held">212 tasks are held.</a>' in told
    assert "It is tried again in 41 s." in told
    assert '<a href="./tasks/01a2">ConnectTimeout</a>: no answer from &lt;host&gt;' in told
    assert "31 times" in told
    assert "curl x" in told
    assert "page: " in told


async def test_a_page_that_is_loaded_has_what_its_stream_tells_with_a_token_and_how_long_ago() -> None:
    known = picture.Acknowledged(AT - timedelta(minutes=4), "ada", '<b data-ago></time> name="token" value="">')
    asked = replace(CAUSE, acknowledged=known, remedies=(picture.Remedy("x", BREAKER, act="probe_breaker"),))
    causes = (asked, replace(CAUSE, kind="other", alert_ids=(UUID(int=7),)))
    probed = [
        picture.BreakerLine("dependency", name, "open", AT, None, 3, AT + timedelta(seconds=later), None, None)
        for name, later in (("bank", 41), ("crm", -41))
    ]
    now = replace(NOW, causes=causes, breakers=tuple(probed))
    parts: Any = Parts(now)
    ask = Ask(parts=parts, caller=LOCAL, path="", now=AT)
    view = await show(ask)
    names = frozenset({"breakers", "tasks"})
    values = {
        "ask": ask, "links": ask.links, "may": LOCAL.may, "now": AT, "target": lambda link: target_of(link, names),
        "where": lambda *_: None, **view.values,
    }  # fmt: skip
    streamed = dict(fragments(view.template, values | {"live": True, "token": ""}))
    loaded = {name: as_loaded(one, 'a"<b', AT) for name, one in streamed.items()}
    assert loaded == dict(fragments(view.template, values | {"live": False, "token": 'a"<b'}))
    assert "data-ago>4 min ago</time>" in loaded["live-causes"]
    assert loaded["live-causes"].count('value="a&#34;&lt;b"') == 2
    assert ">in 41 s</time>" in loaded["live-breakers"]
    assert ">at its next call</time>" in loaded["live-breakers"]


async def test_a_page_knows_what_it_has_when_it_opens_its_stream() -> None:
    parts: Any = Parts(NOW)
    ask = Ask(parts=parts, caller=LOCAL, path="", now=AT)
    shown = Shown(await show(ask), page, AT, AT)
    frame = frames.Frame(ask.links, "", "nonce", "secret", Preferences())
    answer = frames.page(frame, {"headers": []}, shown, ask, [page])
    mark = frames.look(shown, replace(ask, live=True), [page]).mark
    assert f"seen={mark}" in answer.body.decode()
    told = await drawn(NOW)
    assert [name for name in told if f'id="{name}"' not in answer.body.decode()] == []


async def test_what_has_no_page_is_text() -> None:
    told = (await drawn(NOW))["live-causes"]
    assert "api.bank.example/v1 has failed" in told
    assert "<a " not in told


async def test_a_queue_is_a_row_and_says_why_nothing_can_be_predicted() -> None:
    told = (await drawn(NOW))["live-queues"]
    for words in ("external_api", "10 s", "96.1 %", "50 s", "breaker open", "1 of 1", "212 tasks held", "held"):
        assert words in told


@pytest.mark.parametrize(
    ("act", "link", "told"),
    [
        ("resume_queue", Link(LinkKind.QUEUE, "a.b"), 'action="./queues/a.b/resume"'),
        ("pause_queue", Link(LinkKind.QUEUE, "a.b"), 'action="./queues/a.b/pause"'),
        ("probe_breaker", BREAKER, 'action="./breakers/dependency/api.bank.example%2Fv1/probe"'),
        ("force_breaker_open", BREAKER, 'action="./breakers/dependency/api.bank.example%2Fv1/force-open"'),
        ("disable_breaker", BREAKER, 'action="./breakers/dependency/api.bank.example%2Fv1/disable"'),
        ("reset_breaker", BREAKER, 'action="./breakers/dependency/api.bank.example%2Fv1/reset"'),
        ("admit_worker", Link(LinkKind.WORKER, "w@h"), 'action="./workers/w%40h/admit"'),
        ("resolve_error", Link(LinkKind.ERROR, "7"), 'action="./errors/7/resolve"'),
        ("force_breaker_closed", BREAKER, 'href="./breakers/dependency/api.bank.example%2Fv1#by-hand"'),
        ("cancel_task", Link(LinkKind.TASK, "01a2"), 'href="./tasks/01a2/cancel"'),
        ("cancel_tasks", TAGGED, 'href="./tasks/many/cancel?state=queued&amp;tag=a%3Ab"'),
        ("retry_tasks", TAGGED, 'href="./tasks/many/retry?state=queued&amp;tag=a%3Ab"'),
    ],
)
async def test_a_remedy_is_a_click_or_leads_to_what_asks_and_nothing_for_who_may_not(
    act: str, link: Link, told: str
) -> None:
    remedy = picture.Remedy("It does something.", link, act=act)
    now = replace(NOW, causes=(replace(CAUSE, remedies=(picture.Remedy("Mend it."), remedy)),))
    pages = ("breakers", "tasks", "queues", "workers", "errors")
    drawing = (await drawn(now, *pages))["live-causes"]
    assert told in drawing
    assert 'title="It does something."' in drawing
    looker = Caller("looker", KnownBy.ADDRESS, acts=frozenset())
    assert told not in (await drawn(now, *pages, caller=looker))["live-causes"]


async def test_who_may_not_acknowledge_gets_no_button() -> None:
    now = replace(NOW, causes=(replace(CAUSE, alert_ids=(UUID(int=7),)),))
    assert "Acknowledge" in (await drawn(now))["live-causes"]
    looker = Caller("looker", KnownBy.ADDRESS, acts=frozenset())
    assert "Acknowledge" not in (await drawn(now, caller=looker))["live-causes"]


async def test_without_postgresql_queues_are_shown_as_they_were_and_what_runs_is_said() -> None:
    away = picture.Unknown("database", AT, "PostgreSQL does not answer.")
    running = (picture.RunningNow("email@one", "01a2", None),)
    told = await drawn(replace(NOW, causes=(), unknown=(away,), running=running))
    assert "as they were" in told["live-queues"]
    assert "email@one" in told["live-queues"]
    assert 'class="old"' in told["live-queues"]
    assert "not all is known" in told["live-causes"]


async def test_an_installation_that_does_nothing_yet_says_what_comes_next() -> None:
    hour = picture.LastHour(0, None, 0)
    now = replace(NOW, causes=(), queues=(), verdict=picture.Overall.HEALTHY, last_hour=hour)
    assert "./scripts/celery_workers.sh start" in (await drawn(now))["live-causes"]


@pytest.mark.parametrize(
    ("link", "path"),
    [
        (Link(LinkKind.QUEUE, "email"), "queues/email"),
        (Link(LinkKind.DEAD_LETTERS, filter={"task_type": "a b"}), "tasks?state=failed&replayed=false&task_type=a+b"),
        (Link(LinkKind.ERROR, "7"), "errors/7"),
        (Link(LinkKind.WORKERS), "workers"),
        (Link(LinkKind.TASK_TYPE, "a/b"), "types/a%2Fb"),
        (Link(LinkKind.WORKER, "reports@h"), "workers/reports%40h"),
        (Link(LinkKind.SET_ASIDE, "email"), "queues/email"),
        (Link(LinkKind.SET_ASIDE), "queues/set-aside/messages"),
        (Link(LinkKind.READINESS), None),
        (Link(LinkKind.DOCUMENT, "docs/alerts.md"), None),
        (None, None),
    ],
)
def test_a_link_leads_to_its_page(link: Link | None, path: str | None) -> None:
    assert target_of(link, {"queues", "tasks", "errors", "types", "workers"}) == path
    assert target_of(link, set()) is None
