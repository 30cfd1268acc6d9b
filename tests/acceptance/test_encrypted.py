"""Payloads that are encrypted: neither database nor Redis holds them in the clear, and who may read them does."""

import base64
import binascii
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pointsman_service.embedded.ports import HOST, free_port
from pointsman_service.embedded.valkey import ValkeyServer
from tests.stand.stack import GONE, Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

SECRET = "Zanzibar-8114"
PAGES = "/admin/tasks/dashboard"
ENCRYPTED = {
    "POINTSMAN_PAYLOAD_ENCRYPTION": "on",
    "POINTSMAN_ENCRYPTION_KEYS": f"2026-11:{'e' * 43}",
    "POINTSMAN_MESSAGE_SIGNING": "require",
    "POINTSMAN_SIGNING_KEYS": f"2026-11:{'k' * 43}",
}
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")


@pytest.fixture
async def encrypting(database_url: str, own_valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Stack]:
    modules = ("tests.acceptance.secretive_tasks",)
    async with Stack(database_url, own_valkey, tmp_path, variables=ENCRYPTED, modules=modules) as running:
        yield running


def holds_secret(text: str) -> bool:
    """In the clear, or as base64 of any alignment that decodes."""
    if SECRET in text:
        return True
    for found in _BASE64.findall(text):
        for word in (found, found[: len(found) // 4 * 4]):
            try:
                if SECRET.encode() in base64.b64decode(word.replace("-", "+").replace("_", "/")):
                    return True
            except (ValueError, binascii.Error):
                continue
    return False


async def dump(stack: Stack) -> dict[str, str]:
    """Every row of every table as text."""
    tables = await stack.rows("SELECT relname FROM pg_stat_user_tables ORDER BY relname")
    found = {}
    for table in tables:
        name = table["relname"]
        rows = await stack.rows(f'SELECT t::text AS row FROM "{name}" AS t')
        found[name] = "\n".join(row["row"] for row in rows)
    return found


async def get(stack: Stack, path: str, **options: Any) -> Any:
    answer = await stack.http.get(path, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_no_payload_lies_in_the_clear_and_who_may_reads_them(encrypting: Stack) -> None:
    assert holds_secret(base64.b64encode(f'[["{SECRET}"], {{}}]'.encode()).decode())
    said: list[str] = []
    with encrypting.redis() as broker, broker.monitor() as monitor:
        body = {"task_type": "secretive.tell", "args": [SECRET]}
        receipt = (await encrypting.http.post("/v1/tasks", json=body)).json()
        assert receipt["args"] == [SECRET]
        told = receipt["id"]
        failed = [
            await encrypting.submit("secretive.tell", kwargs={"text": SECRET, "how": "raise", "number": number})
            for number in (1, 2)
        ]
        assert (await encrypting.finished(told))["state"] == "succeeded"
        for task in failed:
            assert (await encrypting.finished(task))["state"] == "failed"
        again = await encrypting.http.post(f"/v1/tasks/{told}/retry", json={})
        assert again.status_code == 409
        changed = await encrypting.http.post(f"/v1/tasks/{failed[0]}/retry", json={"kwargs": {"text": SECRET + "!"}})
        assert changed.status_code == 202, changed.text
        assert (await encrypting.finished(changed.json()["id"]))["result"] == {"said": SECRET + "!"}

        async def logged() -> list[str]:
            return [line["text"] for line in (await get(encrypting, f"/v1/tasks/{told}/logs"))["items"]]

        lines = await until(logged, "the lines of the run to be recorded")
        assert lines == [f"it says {SECRET}", SECRET]
        broker.echo("that is all")
        while not said or "that is all" not in said[-1]:
            said.append(str(monitor.next_command()["command"]))

    tables = await dump(encrypting)
    assert [name for name, rows in tables.items() if holds_secret(rows)] == []
    assert any("pm-sealed:2026-11:" in rows for name, rows in tables.items() if name.startswith("task"))
    assert [command[:200] for command in said if holds_secret(command)] == []
    assert sum("pm-sealed:" in command for command in said) > 5

    task = await get(encrypting, f"/v1/tasks/{told}")
    assert (task["args"], task["result"], task["progress"]["note"]) == ([SECRET], {"said": SECRET}, SECRET)
    broken = await get(encrypting, f"/v1/tasks/{failed[1]}")
    assert broken["kwargs"]["text"] == SECRET
    assert broken["error"]["message"] == f"{SECRET} at 2"
    assert f"ValueError: {SECRET} at 2" in broken["error"]["traceback"]

    # What differs between two failures is looked at before it is encrypted.
    async def grouped() -> list[Any]:
        items: list[Any] = (await get(encrypting, "/v1/errors"))["items"]
        return items if sum(item["count"] for item in items) == 2 else []

    (group,) = await until(grouped, "both failures to be counted in one group")
    assert SECRET in group["message"]
    listed = await get(encrypting, "/v1/tasks?state=failed")
    assert {item["error"]["message"] for item in listed["items"]} == {f"{SECRET} at 1", f"{SECRET} at 2"}
    for path in (f"/tasks/{told}", f"/tasks/{failed[1]}", f"/tasks/{told}/submit", "/errors"):
        page = await encrypting.http.get(PAGES + path)
        assert page.status_code == 200
        assert SECRET in page.text, path
        assert "pm-sealed" not in page.text, path

    key = (await encrypting.http.post("/v1/keys", json={"name": "looks", "preset": "viewer"})).json()["key"]
    for path in (f"/v1/tasks/{told}", f"/v1/tasks/{failed[1]}", "/v1/errors", f"/v1/tasks/{told}/logs"):
        masked = await encrypting.http.get(path, headers={"Authorization": f"Bearer {key}"})
        assert masked.status_code in (200, 403)
        assert SECRET not in masked.text, path
        assert "pm-sealed" not in masked.text, path

    port = free_port()
    other = encrypting.other("other", list(encrypting.site.service("api", port=port)))
    other.start(POINTSMAN_ENCRYPTION_KEYS=f"other:{'f' * 43}")
    async with encrypting.client(f"http://{HOST}:{port}") as client:

        async def answers() -> bool:
            try:
                return (await client.get("/livez")).status_code == 200
            except GONE:
                return False

        await until(answers, "an API with another key")
        closed = (await client.get(f"/v1/tasks/{told}")).json()
        why = "(encrypted with key 2026-11, which is not here)"
        assert (closed["args"], closed["result"], closed["progress"]["note"]) == ([why], why, why)
        assert (await client.get(f"/v1/tasks/{failed[1]}")).json()["error"]["message"] == why
        page = await client.get(f"{PAGES}/tasks/{told}")
        assert page.status_code == 200
        assert why in page.text
