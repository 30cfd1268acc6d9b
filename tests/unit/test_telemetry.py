import subprocess
import sys

import pytest

LOGS = r"""
import logging
from pointsman_service.settings import Settings
from pointsman_service.telemetry import configure_logging, logger

configure_logging(Settings(database_url="postgresql://h/d", redis_url="redis://h"))
forged = "bad\n2026-11-28T12:00:00Z [info     ] forged \x1b[2J"
logger("x").warning("an event", reason=forged)
logging.getLogger("library").warning("it said %s", forged)
try:
    raise ValueError(forged)
except ValueError:
    logger("x").exception("a fault")
"""


def test_what_others_say_makes_no_line_of_its_own_and_commands_no_terminal() -> None:
    ran = subprocess.run([sys.executable, "-c", LOGS], capture_output=True, text=True, check=True)
    lines = ran.stderr.splitlines()
    assert [line.split("]")[1].split("  ")[0].strip() for line in lines if not line.startswith("    ")] == [
        "an event",
        "it said bad\\n2026-11-28T12:00:00Z [info",
        "a fault",
    ]
    assert "    2026-11-28T12:00:00Z [info     ] forged \\x1b[2J" in lines
    assert "\x1b" not in ran.stderr


FOR_A_REQUEST = r"""
import asyncio, logging, sys
from pointsman_service.settings import Settings
from pointsman_service.telemetry import configure_logging, logger, request_id, start_for_all

configure_logging(Settings(database_url="postgresql://h/d", redis_url="redis://h", log_json=sys.argv[1] == "json"))

async def for_all():
    logger("x").warning("for all")

async def request():
    request_id.set(b"order-7")
    logger("x").warning("for it")
    logging.getLogger("library").warning("for it too")
    await start_for_all(for_all())

async def main():
    await asyncio.create_task(request())
    logger("x").warning("for nobody")

asyncio.run(main())
"""


@pytest.mark.parametrize(("form", "written"), [("json", '"request_id": "order-7"'), ("text", "request_id=order-7")])
def test_a_line_for_one_request_names_it_and_no_other_line_does(form: str, written: str) -> None:
    command = [sys.executable, "-c", FOR_A_REQUEST, form]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [written in line for line in ran.stderr.splitlines()] == [True, True, False, False], ran.stderr


BARE = r"""
import logging
from pointsman_service.settings import Settings
from pointsman_service.telemetry import configure_logging, logger

configure_logging(Settings(database_url="postgresql://h/d", redis_url="redis://h"))
logger("x").warning("an event", reason="\u202e", actor="ada", who="\x1b[2J", subject="a \u200b b")
"""


def test_a_value_that_cannot_be_seen_is_escaped_and_a_plain_one_is_not_quoted() -> None:
    ran = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=True)
    assert "reason='\\u202e'" in ran.stderr
    assert "who='\\x1b[2J'" in ran.stderr
    assert "subject='a \\u200b b'" in ran.stderr
    assert "actor=ada" in ran.stderr
