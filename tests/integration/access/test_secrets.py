"""After a day of use no secret stands where somebody could read it: in the database, in a log, in an answer, in an
address, in a trace, in what is sent to others, or in what a command shows of the settings.
"""

import asyncio
import base64
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.server_urls import password_of
from pointsman_service.access.token import new_token
from pointsman_service.callers import CONSOLE
from pointsman_service.dashboard.links import ROOT
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from pointsman_service.settings import Settings
from pointsman_service.store.workers import catalogue
from tests.integration.access.serving import served
from tests.integration.spine import Spine
from tests.peers.http import HTTPPeer, Reply
from tests.stand.environment import inherited
from tests.stand.waiting import until

PASSWORD = "of-postgresql-5f0c9e81d2"
HOOK, SIGNS = "T0/B0/path-of-a-hook-77aa10", "whsec_" + base64.b64encode(b"signs messages of alerts").decode()
SHOWN = 8
"""Characters of a key that are shown at its begin; of its end there are fewer."""


@pytest.fixture
def guarded_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """One with a password."""
    with ValkeyServer(tmp_path / "valkey", appendonly=False, has_password=True) as server:
        yield server


@pytest.fixture
def outside() -> Iterator[HTTPPeer]:
    """A receiver of traces and of messages about alerts."""
    with HTTPPeer() as peer:
        peer.on("/v1/traces", Reply())
        peer.on(f"/{HOOK}", Reply(204))
        yield peer


async def _used(http: httpx.AsyncClient, key: str, others: list[str]) -> list[str]:
    """Everything that a caller does, and does wrong; what it was answered."""
    bearer = {"Authorization": f"Bearer {key}"}
    said = []
    for headers in (bearer, *({"Authorization": f"Bearer {other}"} for other in others)):
        for method, path, body in (
            ("GET", "/v1/tasks", None),
            ("POST", "/v1/tasks", {"task_type": "noop"}),
            ("POST", "/v1/tasks", {"task_type": "nothing"}),
            ("POST", "/v1/keys", {"name": "x"}),
            ("POST", "/v1/queues/email/pause", {"reason": "why"}),
            ("GET", "/v1/keys", None),
            ("GET", "/v1/audit", None),
            ("GET", "/v1/alert-channels", None),
            ("POST", "/v1/alert-channels/on-call/test", {"reason": "why"}),
            ("GET", f"{ROOT}/keys", None),
            ("GET", f"{ROOT}/alerts", None),
            ("GET", "/metrics", None),
            ("GET", "/readyz?verbose", None),
            ("GET", "/nothing", None),
        ):
            answer = await http.request(method, path, json=body, headers=headers)
            said.append(answer.text + str(answer.headers))
    return said


async def _linked(http: httpx.AsyncClient, key: str) -> tuple[str, list[str]]:
    """What signs the link of a task, and what whoever follows it is answered: also where it is spoiled."""
    bearer = {"Authorization": f"Bearer {key}"}
    task = (await http.post("/v1/tasks", json={"task_type": "noop"}, headers=bearer)).json()["id"]
    made = await http.post(f"/v1/tasks/{task}/links", json={}, headers=bearer)
    link = parse_qs(urlsplit(made.json()["url"]).query)["sig"][0]
    places = (f"/v1/tasks/{task}", f"{ROOT}/shared/{task}")
    answers = [await http.get(f"{place}?sig={text}") for text in (link, link[:-4]) for place in places]
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401]
    # A page has the address that it was asked by in its forms.
    return link, [answers[place].text + str(answers[place].headers) for place in (0, 2)]


async def _signed_in(http: httpx.AsyncClient, port: int, key: str) -> tuple[str, list[str]]:
    """The session of a browser, and what it was shown with it."""
    page = await http.get(f"{ROOT}/sign-in")
    token = page.text.partition('name="token" value="')[2].partition('"')[0]
    here = {"Host": f"localhost:{port}"}
    signed = await http.post(f"{ROOT}/sign-in", data={"token": token, "key": key}, headers=here)
    assert signed.status_code == 303, signed.text
    session = signed.headers["set-cookie"].partition("=")[2].partition(";")[0]
    pages = [
        await http.get(f"{ROOT}/{path}", headers=here | {"Cookie": f"pointsman_session={session}"})
        for path in ("", "keys", "audit", "alerts", "tasks", "nothing")
    ]
    assert [page.status_code for page in pages] == [200] * 5 + [404]
    return session, [page.text + str(page.headers) for page in (*pages, page)] + [
        signed.text,
        signed.headers["location"],
    ]


@pytest.mark.parametrize("as_json", ["true", "false"])
async def test_a_secret_is_nowhere_but_where_it_belongs(
    spine: Spine,
    settings: Settings,
    guarded_valkey: ValkeyServer,
    outside: HTTPPeer,
    tmp_path: Path,
    as_json: str,
) -> None:
    async with spine.store.statement() as connection:
        await catalogue.publish(connection, "w@h#1", [TaskTypeSpec(name="noop", time_limit_seconds=9)])
    hand = KeyHand(spine.store)
    key = (await hand.create(CONSOLE, WantedKey("ops", preset="admin"), "first")).token
    gone = await hand.create(CONSOLE, WantedKey("gone", preset="admin"), None)
    await hand.revoke(CONSOLE, gone.key.id, None)
    keys = [key, gone.token, new_token(), key[:-1] + ("x" if key[-1] != "x" else "y")]
    # Who comes through the socket is trusted, whatever password it names.
    url = settings.require_database_url().replace("//app@", f"//app:{PASSWORD}@")
    given = settings.model_copy(update={"database_url": SecretStr(url), "redis_url": SecretStr(guarded_valkey.url)})
    (broker,) = password_of(guarded_valkey.url)
    channel = {"kind": "webhook", "name": "on-call", "url": f"{outside.url}/{HOOK}", "secrets": [SIGNS]}
    variables = {
        "POINTSMAN_LOG_LEVEL": "DEBUG",
        "POINTSMAN_LOG_JSON": as_json,
        "POINTSMAN_ALERT_CHANNELS": json.dumps([channel]),
        "POINTSMAN_ALERT_ALLOW_HTTP": "true",
        "POINTSMAN_ALERT_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8",
        "POINTSMAN_TRACING": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": outside.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    async with served(given, tmp_path, "all", **variables) as (http, port, log):
        said = await _used(http, key, keys[1:])
        link, followed = await _linked(http, key)
        said += followed
        session, shown = await _signed_in(http, port, key)
        # The statement of a request fails, and its traceback is logged.
        await spine.run("ALTER TABLE replay RENAME TO elsewhere")
        bearer = {"Authorization": f"Bearer {key}"}
        broken = await http.get("/v1/dead-letters/replays", headers=bearer)
        assert broken.status_code == 503
        await spine.run("ALTER TABLE elsewhere RENAME TO replay")

        async def told() -> bool:
            return {f"/{HOOK}", "/v1/traces"} <= {request.path for request in outside.requests}

        await until(told, "a message and the traces to come")
        guarded_valkey.kill()
        said += [broken.text, (await http.get("/readyz?verbose", headers=bearer)).text]
        said += shown

        async def noticed() -> bool:
            return "Redis" in log.read_text()

        await until(noticed, "the log to say that Redis is away")
    shell = inherited() | variables | {"POINTSMAN_DATABASE_URL": url, "POINTSMAN_REDIS_URL": guarded_valkey.url}
    words = [sys.executable, "-m", "pointsman_service", "config"]
    config = await asyncio.to_thread(subprocess.run, words, env=shell, capture_output=True, text=True, check=True)
    tables = await spine.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    rows = [await spine.rows(f"SELECT t::text AS row FROM {table['name']} t") for table in tables]
    traces = [one for one in outside.requests if one.path == "/v1/traces"]
    messages = [one for one in outside.requests if one.path == f"/{HOOK}"]
    everywhere = {
        "the log": log.read_text(),
        "the rows": str(rows),
        "answers": " ".join(said),
        "what the settings are": config.stdout + config.stderr,
        "traces": " ".join(_plain(one.body) for one in traces),
        "messages": " ".join(f"{one.headers} {_plain(one.body)}" for one in messages),
    }
    assert "Traceback" in everywhere["the log"]
    assert "POST /v1/keys" in everywhere["traces"]
    assert "/v1/tasks/{task_id}" in everywhere["traces"]
    for place, text in everywhere.items():
        for secret in [*keys, session, link]:
            assert secret not in text, place
            assert secret[SHOWN:-6] not in text, place
        for secret in (PASSWORD, broker, HOOK, SIGNS, SIGNS.removeprefix("whsec_")):
            assert secret not in text, place


def _plain(body: bytes) -> str:
    return (gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body).decode("utf-8", "replace")
