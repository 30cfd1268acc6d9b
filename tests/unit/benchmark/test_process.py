"""What the processes of a bench have taken."""

import subprocess
import sys

from tests.benchmark.process import cpu_seconds

_BURNS = "import time\nwhile time.process_time() < 0.3: pass"
_PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {_BURNS!r}], check=True)
print("ended", flush=True)
sys.stdin.read()
"""


def test_children_that_have_ended_still_count() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ended\n"
        assert cpu_seconds(parent.pid) >= 0.3
        parent.communicate()
