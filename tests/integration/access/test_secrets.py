"""After a day of use no secret stands where somebody could read it: in the database, in a log, in an answer."""

from pathlib import Path

import httpx
import pytest

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.access.token import new_token
from pointsman_service.callers import CONSOLE
from pointsman_service.dashboard.links import ROOT
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from pointsman_service.settings import Settings
from pointsman_service.store.workers import catalogue
from tests.integration.access.serving import served
from tests.integration.spine import Spine


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
            ("GET", f"{ROOT}/keys", None),
            ("GET", "/metrics", None),
            ("GET", "/nothing", None),
        ):
            answer = await http.request(method, path, json=body, headers=headers)
            said.append(answer.text + str(answer.headers))
    return said


@pytest.mark.parametrize("as_json", ["true", "false"])
async def test_a_key_is_in_no_log_no_row_and_no_answer_but_its_own(
    spine: Spine, settings: Settings, tmp_path: Path, as_json: str
) -> None:
    async with spine.store.statement() as connection:
        await catalogue.publish(connection, "w@h#1", [TaskTypeSpec(name="noop", time_limit_seconds=9)])
    hand = KeyHand(spine.store)
    key = (await hand.create(CONSOLE, WantedKey("ops", preset="admin"), "first")).token
    gone = await hand.create(CONSOLE, WantedKey("gone", preset="admin"), None)
    await hand.revoke(CONSOLE, gone.key.id, None)
    secrets = [key, gone.token, new_token(), key[:-1] + ("x" if key[-1] != "x" else "y")]
    async with served(settings, tmp_path, POINTSMAN_LOG_LEVEL="DEBUG", POINTSMAN_LOG_JSON=as_json) as (http, port, log):
        said = await _used(http, key, secrets[1:])
        page = await http.get(f"{ROOT}/sign-in")
        token = page.text.partition('name="token" value="')[2].partition('"')[0]
        form = {"token": token, "key": key}
        signed = await http.post(f"{ROOT}/sign-in", data=form, headers={"Host": f"localhost:{port}"})
        assert signed.status_code == 303, signed.text
        session = signed.headers["set-cookie"].partition("=")[2].partition(";")[0]
        made = await http.post("/v1/tasks", json={"task_type": "noop"}, headers={"Authorization": f"Bearer {key}"})
        task = f"/v1/tasks/{made.json()['id']}"
        shared = (await http.post(f"{task}/links", headers={"Authorization": f"Bearer {key}"})).json()
        link = shared["api_url"].partition("?sig=")[2]
        for path in (task, f"{ROOT}/shared/{made.json()['id']}", f"{task}/attempts", task.replace("-", "0")):
            for signed_with in (link, f"{link}x", f"x{link}"):
                said.append((await http.get(f"{path}?sig={signed_with}")).text.replace(link, ""))
        # The statement of a request fails, and its traceback is logged.
        await spine.run("ALTER TABLE replay RENAME TO elsewhere")
        broken = await http.get("/v1/dead-letters/replays", headers={"Authorization": f"Bearer {key}"})
        assert broken.status_code == 503
        await spine.run("ALTER TABLE elsewhere RENAME TO replay")
        await spine.run("ALTER TABLE task_live RENAME TO elsewhere")
        assert (await http.get(f"{task}?sig={link}")).status_code == 503
        await spine.run("ALTER TABLE elsewhere RENAME TO task_live")
        said.append(broken.text)
    tables = await spine.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    rows = [await spine.rows(f"SELECT t::text AS row FROM {table['name']} t") for table in tables]
    everywhere = {"the log": log.read_text(), "the rows": str(rows), "answers": " ".join(said)}
    assert "Traceback" in everywhere["the log"]
    for place, text in everywhere.items():
        for secret in [*secrets, session, link]:
            assert secret not in text, place
            assert secret[8:-6] not in text, place
