"""What is read while work is done has the documented shape and says what is so."""

import json
import re
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs
import pytest
from openapi_spec_validator import validate
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from tests.stand.stack import QUEUES, Row, Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


async def read(stack: Stack, path: str, documented_as: str | None = None) -> Row:
    """The answer to a GET, checked against the document the service itself gives."""
    answer = await stack.http.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    document: Row = (await stack.http.get("/openapi.json")).json()
    operation = document["paths"][documented_as or path.partition("?")[0]]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    body: Row = answer.json()
    jsonschema_rs.validate({**schema, "components": document["components"]}, body)
    return body


async def test_every_read_answers_in_its_documented_shape_while_a_task_runs(stack: Stack, tmp_path: Path) -> None:
    release = tmp_path / "release"
    failed = await stack.finished(await stack.submit("fail", args=["boom"]))
    running = await stack.submit("ledger.hold", args=[str(release)], queue="reports")
    await stack.wait_for_state(running, "running")

    async def busy() -> bool:
        (worker,) = (await read(stack, "/v1/workers"))["items"]
        assert set(worker["queues"]) == set(QUEUES)
        assert (worker["live"], worker["processes"], worker["pool"]) == (True, stack.processes, "acceptance")
        return bool(worker["busy"] == 1 and worker["utilization"] == 1 / stack.processes)

    await until(busy, "a beat that names the running task")
    task = await read(stack, f"/v1/tasks/{running}", "/v1/tasks/{task_id}")
    assert (task["state"], task["attempt"], task["finished_at"], task["sla"]["met"]) == ("running", 1, None, True)
    attempts = await read(stack, f"/v1/tasks/{running}/attempts", "/v1/tasks/{task_id}/attempts")
    assert [(one["attempt"], one["state"]) for one in attempts["items"]] == [(1, "running")]
    assert (await read(stack, f"/v1/tasks/{failed['id']}", "/v1/tasks/{task_id}"))["error"]["message"] == "boom"

    queues = (await read(stack, "/v1/queues"))["items"]
    assert tuple(queue["name"] for queue in queues) == QUEUES
    assert {queue["consumers"] for queue in queues} == {stack.processes}
    assert (await read(stack, "/v1/queues/critical", "/v1/queues/{name}"))["sla_seconds"] == 2
    types = {spec["name"]: spec for spec in (await read(stack, "/v1/task-types"))["items"]}
    assert {"noop", "echo", "sleep", "fail", "http_request", "ledger.write"} <= types.keys()
    assert await read(stack, "/v1/task-types/sleep", "/v1/task-types/{name}") == types["sleep"]
    for group in ("task_type", "queue"):
        metrics = await read(stack, f"/v1/metrics/tasks?group_by={group}&window_seconds=600")
        assert sum(item["submitted"] for item in metrics["items"]) == metrics["totals"]["submitted"] > 0
    assert metrics["totals"]["failure_rate"] > 0

    assert await read(stack, "/livez") == await read(stack, "/healthz") == {"status": "alive"}
    assert (await read(stack, "/readyz"))["status"] == "ready"
    parts = (await read(stack, "/readyz?verbose"))["parts"]
    assert {"database", "broker", "migrations", "task_types", "workers", "recorder", "dispatcher"} <= parts.keys()
    assert all(part["ok"] and part["detail"] for part in parts.values())
    release.touch()
    assert (await stack.finished(running))["result"] == "released"


async def test_list_is_filtered_and_paged_newest_first(stack: Stack) -> None:
    tag = uuid4().hex
    body = {"task_type": "noop", "tags": {"page": tag, "kind": "a"}}
    batch: list[Row] = [body] * 4 + [{"task_type": "fail", "args": ["x"], "tags": {"page": tag}, "queue": "email"}]
    batch.append(body | {"delay_seconds": 3600})
    answer = await stack.http.post("/v1/tasks/batch", json={"tasks": batch})
    ids = [result["task"]["id"] for result in answer.json()["results"]]
    for task_id in ids[:5]:
        await stack.finished(task_id)

    async def listed(**filters: Any) -> list[str]:
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        return [task["id"] for task in (await read(stack, f"/v1/tasks?tag=page:{tag}&{query}"))["items"]]

    assert await listed() == sorted(ids, reverse=True)
    assert set(await listed(state="succeeded")) == set(ids[:4])
    assert await listed(state="failed") == await listed(queue="email") == await listed(task_type="fail") == [ids[4]]
    assert await listed(state="scheduled") == [ids[5]]
    assert set(await listed(tag="kind:a")) == {*ids[:4], ids[5]}
    assert await listed(submitted_after="2100-01-01T00:00:00Z") == []
    assert await listed(submitted_before="2020-01-01T00:00:00Z") == []

    pages: list[list[str]] = []
    path: str | None = f"/v1/tasks?tag=page:{tag}&limit=4"
    while path is not None:
        page = await read(stack, path)
        pages.append([task["id"] for task in page["items"]])
        link = (await stack.http.get(path)).links.get("next")
        assert (link is None) == (page["next_cursor"] is None)
        path = None if link is None else link["url"]
    assert [len(page) for page in pages] == [4, 2]
    assert list(chain(*pages)) == sorted(ids, reverse=True)


async def test_prometheus_metrics_parse_in_both_formats_and_count_the_work(stack: Stack) -> None:
    await stack.finished(await stack.submit("noop"))

    async def counted() -> bool:
        text = (await stack.http.get("/metrics")).text
        families = {family.name: family for family in prometheus(text)}
        assert all(name.startswith("pointsman_") for name in families)
        submitted = [
            sample.value
            for sample in families["pointsman_tasks_submitted"].samples
            if sample.name == "pointsman_tasks_submitted_total" and sample.labels["task_type"] == "noop"
        ]
        return sum(submitted) == (await stack.counters("noop"))["submitted"]

    await until(counted, "the counters to be exposed")
    answer = await stack.http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert "pointsman_tasks_submitted" in {family.name for family in openmetrics(answer.text)}  # type: ignore[no-untyped-call]  # untyped


async def test_documentation_is_served_whole_and_asks_no_other_host(stack: Stack) -> None:
    page = await stack.http.get("/docs")
    assert page.status_code == 200
    assert not re.findall(r"https?://|[\"']//", page.text)
    assets = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
    assert len(assets) >= 3
    for asset in assets:
        assert (await stack.http.get(f"/{asset}")).status_code == 200, asset
    document = (await stack.http.get("/openapi.json")).json()
    validate(document)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert operation["operationId"], path


async def test_what_a_task_writes_is_read_while_it_runs(stack: Stack, tmp_path: Path) -> None:
    release = tmp_path / "release"
    task = await stack.submit("hooks.writes", args=[str(release)], queue="critical")
    path, documented_as = f"/v1/tasks/{task}/logs", "/v1/tasks/{task_id}/logs"

    async def first_line() -> Row | None:
        page = await read(stack, path, documented_as)
        return page if page["items"] else None

    page = await until(first_line, "the first line")
    assert (await stack.task(task))["state"] == "running"
    assert [item["text"] for item in page["items"]] == ["before"]
    assert page["attempts"] == [{"attempt": 1, "written": 1, "kept": 1, "dropped": 0, "complete": False}]
    told = []
    async with stack.http.stream("GET", f"{path}/events") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                told += [item["text"] for item in json.loads(line.removeprefix("data:")).get("items", [])]
            if told == ["before"]:
                release.touch()
    assert told == ["before", "after"]
    page = await read(stack, f"{path}?cursor={page['tail_cursor']}", documented_as)
    assert [(item["number"], item["logger"], item["text"]) for item in page["items"]] == [(2, "stdout", "after")]
    assert page["attempts"] == [{"attempt": 1, "written": 2, "kept": 2, "dropped": 0, "complete": True}]
