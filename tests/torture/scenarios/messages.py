"""Messages nobody can want, and workers that must not be let in."""

import base64
import json
import re
from functools import partial
from uuid import uuid4

import redis

from pointsman_contract.message import HEADER
from pointsman_contract.queues import list_key
from tests.stand.processes import Child
from tests.torture.installation import Plan
from tests.torture.scenario import Run, scenario
from tests.torture.verdict import Harm

_LIST = list_key("maintenance", 7)
_LARGE_BYTES = 100 * 1024 * 1024


def _message(task: str, task_id: str, body: bytes, header: object = None) -> str:
    headers: dict[str, object] = {
        "lang": "py",
        "task": task,
        "id": task_id,
        "root_id": task_id,
        "retries": 0,
        "argsrepr": "",
        "kwargsrepr": "",
    }
    if header is not None:
        headers[HEADER] = header
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "maintenance"},
                "priority": 7,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
    )


_EMPTY = b'[[], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'


@scenario("23", Harm.NONE)
async def garbage_on_the_queue(run: Run) -> None:
    """Garbage, a message of 100 MB, unknown task types and headers of another make lie on a queue."""
    strange = str(uuid4())
    garbage = {
        "not JSON": "\x00\xff garbage",
        "not an object": "[1, 2]",
        "an empty object": "{}",
        "no properties": json.dumps({"body": "", "headers": {}}),
        "a body that is no JSON": _message("torture.effect", str(uuid4()), b"\xff\xfe"),
        "a body of another shape": _message("torture.effect", str(uuid4()), b'{"a": 1}'),
        "an unknown native task": _message("nobody.knows", str(uuid4()), _EMPTY),
        "an unknown managed task": _message("nobody.knows", strange, _EMPTY, {"version": 1, "dispatch": 1}),
        "a header that is a word": _message("torture.effect", str(uuid4()), _EMPTY, "yes"),
        "a header of a later version": _message("torture.effect", str(uuid4()), _EMPTY, {"version": 99}),
        "a managed header without a field": _message("torture.effect", str(uuid4()), _EMPTY, {"version": 1}),
        "100 MB": _message("nobody.knows", str(uuid4()), b"[" + b"1," * (_LARGE_BYTES // 2) + b"1]"),
    }
    names = list(garbage)
    run.random.shuffle(names)
    # The largest takes its time on a busy machine.
    with redis.Redis.from_url(run.stack.redis_url, socket_timeout=60) as connection:
        for name in names:
            connection.lpush(_LIST, garbage[name])
            await run.load.more(10)
            await run.until(partial(_is_taken, run), f"{name} to be taken", 60)
            for node in run.stack.nodes:
                run.demand(node.is_running, f"{node.name} did not outlive {name}")
                if not node.is_running:
                    node.kill()
                    node.start()
                    await run.stack.ready()
    said = run.stack.last_lines()
    run.demand(bool(re.search(r"nobody\.knows|not known", said)), "no worker said what it met")


async def _is_taken(run: Run) -> bool:
    with redis.Redis.from_url(run.stack.redis_url, socket_timeout=60) as connection:
        return bool(connection.llen(_LIST) == 0)


@scenario("25", Harm.NONE, Plan(nodes=1))
async def other_visibility_timeout(run: Run) -> None:
    """A worker with another visibility timeout starts beside one that runs."""
    words = ["-m", "celery", "-A", "pointsman", "worker", "-c", "1", "-n", "other@%h", "-l", "WARNING"]
    log = run.directory / "other.log"
    other = Child("other", words, run.stack.environment | {"POINTSMAN_VISIBILITY_TIMEOUT_SECONDS": "120"}, log)
    other.start()
    try:
        status = await other.ended()
        run.demand(status not in (0, -9), f"it ended with {status}")
        run.demand("visibility" in log.read_text(), "it did not say why")
    finally:
        other.kill()
    await run.load.more(20)
