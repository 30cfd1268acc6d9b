import subprocess
import sys

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
    ran = subprocess.run([sys.executable, "-c", LOGS], capture_output=True, text=True, check=True, timeout=60)
    lines = ran.stderr.splitlines()
    assert [line.split("]")[1].split("  ")[0].strip() for line in lines if not line.startswith("    ")] == [
        "an event",
        "it said bad\\n2026-11-28T12:00:00Z [info",
        "a fault",
    ]
    assert "    2026-11-28T12:00:00Z [info     ] forged \\x1b[2J" in lines
    assert "\x1b" not in ran.stderr
