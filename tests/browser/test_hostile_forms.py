"""Every form of every page, sent with what nobody should send: it is answered, a refused one changes nothing, and what
was typed into it is not lost.

A run sends some of it to each field and parameter, by ``FORMS_SEED``, which is drawn when it is not set; with
``FORMS_ALL=1`` all.
"""

import html
import os
import random
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pointsman_service.breaker.breaker import BreakerState, Override, Step
from pointsman_service.breaker.entry import Entry
from pointsman_service.callers import CONSOLE
from pointsman_service.dashboard.links import ROOT
from pointsman_service.dashboard.page import Route
from pointsman_service.dashboard.pages import PAGES, SEARCH
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from tests.browser.filling import fill
from tests.browser.filling_breakers import registry_of
from tests.browser.filling_queues import put_worker, set_message_aside
from tests.browser.filling_tasks import new_id, put, put_failed
from tests.browser.forms import Form, forms_of
from tests.browser.paths import paths_of
from tests.browser.site import Site

HOSTILE = (
    "", "-1", "0.5", "1e400", "nan", "9" * 5000, "\u202egnirts", "\u200b", "\U0001f9e8" * 300,
    "<script>alert(1)</script>", "a\r\nSet-Cookie: b=c", "0001-01-01T00:00+23:59", '{"a": 1, "a": 2}', "x" * 100_000,
)  # fmt: skip
IN_ADDRESSES = (
    "x",
    "-1",
    "9" * 400,
    "\u202e<b>\U0001f9e8",
    "0001-01-01T00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "a:b",
)
_SEED = int(os.environ.get("FORMS_SEED", random.randrange(1_000_000)))
_ALL = os.environ.get("FORMS_ALL") == "1"
_A_RUN, _A_RUN_IN_ADDRESSES = 4, 3
"""Of what is hostile, each field or parameter is sent so much."""
_LEFT_OUT = frozenset({"live_change", "live_interest", "worker", "role_lease"})
"""Tables that a process writes of itself."""
_DONE = (201, 303)
"""Of a form that did what it says; 201 shows what is shown once."""


@pytest.fixture(scope="module")
async def site(
    postgres: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """A full installation that these tests may do anything to."""
    database = postgres.start().create_database(template=migrated_template)
    with ValkeyServer(tmp_path_factory.mktemp("hostile") / "valkey", appendonly=False) as valkey:
        async with Site(database, valkey.url) as made:
            await fill(made)
            await put_failed(made, error_group=None)
            await put(made, "succeeded", attempt=1, started=40, finished=39.8, run_seconds=0.2)
            await set_message_aside(made, "reports", "it is no JSON")
            await _fill_more(made)
            yield made


@pytest.mark.parametrize("seed", [_SEED], ids=[f"FORMS_SEED={_SEED}"])
async def test_every_form_is_answered_and_one_that_is_refused_changes_nothing_and_keeps_what_was_typed(
    site: Site, seed: int
) -> None:
    drawn = random.Random(seed)
    faults: dict[tuple[str, str, str], str] = {}
    async with _browser(site) as client:
        forms = await _forms(site, client)
        unseen = [
            route.pattern.pattern for route in _acts() if not any(route.match(form.path) is not None for form in forms)
        ]
        assert unseen == [], "no page has a form for these"
        for form in forms:
            for name, value in _changes_of(form, drawn):
                sent = form.filled(**{name: value})
                written = await _written_until(site)
                answer = await client.post(form.action, data=sent)
                where = f"{form.path} {name}={value[:40]!r}: {answer.status_code}"
                if answer.status_code >= 500:
                    faults[form.path, name, "fails"] = where
                if answer.status_code not in _DONE and await _written_until(site) != written:
                    # It was taken back, or it was not: that is seen the second time.
                    before = await _digest(site)
                    again = await client.post(form.action, data=sent)
                    if again.status_code in _DONE or await _digest(site) != before:
                        faults[form.path, name, "changes something"] = where
                if answer.status_code == 422 and name in form.shown:
                    for lost in await _lost(client, form, sent, answer):
                        faults[form.path, name, lost] = where
    if faults:
        pytest.fail("\n".join(f"{where}: {fault}" for (_, _, fault), where in faults.items()))


def _changes_of(form: Form, drawn: random.Random) -> list[tuple[str, str]]:
    most = len(HOSTILE) if _ALL else _A_RUN
    return [(name, value) for name in form.shown for value in drawn.sample(HOSTILE, most)] + [
        (name, value) for name in form.hidden for value in drawn.sample(HOSTILE, most // 2)
    ]


async def test_no_act_is_done_by_looking_and_none_without_its_token(site: Site) -> None:
    async with _browser(site) as client:
        forms = await _forms(site, client)
        before = await _digest(site)
        for form in forms:
            looked = await client.get(form.action, follow_redirects=True)
            assert looked.status_code in (200, 404, 422), form.action
            assert looked.headers["content-type"].startswith("text/html"), form.action
            for token in ("", "AAAA", "\u00fc" * 44):
                answer = await client.post(form.action, data=form.filled(token=token))
                assert answer.status_code == 403, form.action
        assert await _digest(site) == before


@pytest.mark.parametrize("name", ["%00", "%FF%FE", "x" * 3000, "%3Cscript%3E", "%2e%2e%2f", "%E2%80%AE", "%0d%0aX:y"])
async def test_no_path_is_too_strange_to_be_answered(site: Site, name: str) -> None:
    faults = []
    async with _browser(site) as client:
        token = await _token(client)
        for page in PAGES:
            for route in page.routes:
                path = re.sub(r"\(\?P<\w+>.*?\)(?=/|\$)", name, route.pattern.pattern).strip("^$/")
                ways: list[Any] = [client.get(path)] if route.shows else [client.post(path, data={"token": token})]
                for way in ways:
                    answer = await way
                    if answer.status_code >= 500 or "x" in answer.headers:
                        faults.append(f"{path[:80]}: {answer.status_code}")
    assert faults == []


@pytest.mark.parametrize("seed", [_SEED], ids=[f"FORMS_SEED={_SEED}"])
async def test_no_parameter_is_too_strange_to_be_answered(site: Site, seed: int) -> None:
    drawn, most = random.Random(seed), len(IN_ADDRESSES) if _ALL else _A_RUN_IN_ADDRESSES
    names = (
        "cursor", "state", "queue", "tag", "task_type", "error_message", "attempts", "window", "order", "sort", "limit",
        "submitted_after", "finished_before", "q", "scope", "below", "level", "attempt", "all", "severity", "known",
        "rule", "states", "as", "of", "seen", "error_group", "replayed", "held_reason", "worker",
    )  # fmt: skip
    faults = []
    async with _browser(site) as client:
        for path in await _one_of_each_page(site):
            for name in names:
                for value in drawn.sample(IN_ADDRESSES, most):
                    answer = await client.get(path, params={name: value})
                    if answer.status_code >= 500:
                        faults.append(f"{path} {name}={value[:40]!r}: {answer.status_code}")
    assert faults == []


async def _one_of_each_page(site: Site) -> list[str]:
    shown = [route for page in (*PAGES, *SEARCH) for route in page.routes if route.shows is not None]
    paths = [path.partition("?")[0] for path in [*await _more_paths(site), *await paths_of(site)]]
    found: dict[int, str] = {}
    for path in paths:
        # The page to sign in is none of these.
        found.setdefault(next((place for place, one in enumerate(shown) if one.match(path) is not None), -1), path)
    return list(found.values())


def _acts() -> list[Route]:
    return [route for page in PAGES for route in page.routes if route.acts is not None]


async def _fill_more(site: Site) -> None:
    """What is offered only after something else was done."""
    await site.run("UPDATE alert SET acked_at = now(), acked_by = 'ada', ack_reason = 'x' WHERE rule = 'no_worker'")
    await site.run(
        "INSERT INTO replay (id, caller, wanted, matched, tasks, kind, stage, reason, submitted_before, looked_at)"
        " VALUES (:id, 'ada', CAST('{\"queue\": \"email\"}' AS jsonb), 5, 5, 'cancel', 'walking', 'x', now(), 5)",
        id=new_id(),
    )
    await put_worker(site, "email@host-3", queues=("email",))
    await KeyHand(site.store).create(CONSOLE, WantedKey("refunds", preset="submitter"), None)
    async with httpx.AsyncClient(base_url=site.origin) as client:
        for _ in range(2):
            answer = await client.post("/v1/tasks", json={"task_type": "shop.charge", "queue": "reports"})
            assert answer.status_code == 202, answer.text

    def off(entry: Entry, now: float) -> Step:
        return entry.breaker.force(Override(BreakerState.FORCED_OPEN, "ada", "its disk is full", now + 3600), now)

    await registry_of(site).change(("worker", "email@host-3"), off)


def _browser(site: Site) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=site.origin + ROOT + "/", timeout=30)


async def _token(client: httpx.AsyncClient) -> str:
    found = re.search(r'name="token" value="([^"]+)"', (await client.get("help")).text)
    assert found is not None
    return found[1]


async def _forms(site: Site, client: httpx.AsyncClient) -> list[Form]:
    """One of each act, from wherever it is offered."""
    paths = [*await paths_of(site), *await _more_paths(site)]
    found: dict[tuple[str, tuple[str, ...]], Form] = {}
    for path in paths:
        page = await client.get(path)
        for form in forms_of(site.url + path, page.text):
            act = next((one.pattern.pattern for one in _acts() if one.match(form.path) is not None), form.path)
            found.setdefault((act, tuple(form.shown)), form)
    return list(found.values())


async def _more_paths(site: Site) -> list[str]:
    """Pages with forms that are offered in some state only."""
    found = ["queues/external_api", "tasks/many/retry?state=failed", "breakers/worker/email@host-2"]
    found += [f"alerts/{row.id}" for row in await site.run("SELECT id FROM alert ORDER BY id")]
    for table in ("task", "task_live"):
        for row in await site.run(f"SELECT id, state FROM {table}"):
            found += [f"tasks/{row.id}{page}" for page in ("", "/again", "/submit", "/change", "/cancel")]
    found += [f"workers/{row.name}" for row in await site.run("SELECT name FROM worker")]
    found += [f"errors/{row.id}" for row in await site.run("SELECT id FROM error_group")]
    found += [f"tasks/acts/{row.id}" for row in await site.run("SELECT id FROM replay")]
    found += [f"keys/{row.id}" for row in await site.run("SELECT id FROM api_key WHERE revoked_at IS NULL LIMIT 1")]
    for row in await site.run("SELECT scope, name FROM breaker"):
        found += [f"breakers/{row.scope}/{row.name}{page}" for page in ("", "/policy")]
    return found


async def _written_until(site: Site) -> tuple[object, object]:
    """How often anything was written, also what was taken back: the same while nothing is."""
    (row,) = await site.run("SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next")
    told = (await site.dashboard._parts.server.command("INFO", "persistence")).decode()
    return row.next, re.findall(r"rdb_changes_since_last_save:(\d+)", told)


async def _digest(site: Site) -> dict[str, str]:
    """What the database and Redis hold."""
    names = [
        row.name
        for row in await site.run(
            "SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1"
        )
        if row.name not in _LEFT_OUT
    ]
    each = " UNION ALL ".join(
        f"SELECT '{name}' AS name, md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) AS md5 FROM {name} t"
        for name in names
    )
    found = {row.name: row.md5 for row in await site.run(each)}
    server = site.dashboard._parts.server
    keys = sorted(await server.command("KEYS", "*"))
    found["redis"] = str([(key, await server.command("DUMP", key)) for key in keys])
    return found


async def _lost(client: httpx.AsyncClient, form: Form, sent: dict[str, str], answer: httpx.Response) -> list[str]:
    """What somebody had typed and does not stand in the form that they are shown again, and what is not said."""
    again = _alike(form, answer)
    if not again:
        page = await client.get(form.action, follow_redirects=True)
        # It may not be offered any more, as something was done meanwhile.
        return ["the form is not shown again"] if _alike(form, page) else []
    found = [] if "Nothing was" in html.unescape(answer.text) else ["it does not say that nothing was done"]
    for name in form.shown.keys() - form.choices.keys():
        typed = _plain(sent[name])
        if typed not in {_plain(one.shown.get(name, "")) for one in again}:
            found.append(f"{name} is lost")
    return found


def _alike(form: Form, answer: httpx.Response) -> list[Form]:
    """The same form on a page: an undo may have the same act."""
    found = forms_of(str(answer.url), answer.text)
    return [one for one in found if (one.path, one.shown.keys()) == (form.path, form.shown.keys())]


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()
