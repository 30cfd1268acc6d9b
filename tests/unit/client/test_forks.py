import subprocess
import sys

import pytest

from tests.unit.client.scripted import answer, scripted

CODE = """
import os, sys
from pointsman_client import Client
client = Client(sys.argv[1], timeout=20)
client.tasks.get("t-1")
client.waits._guard.acquire()  # as another thread might have it at that moment
child = os.fork()
if child == 0:
    client.tasks.handle("t-1").wait(20)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nobody forks there")
def test_a_child_of_a_fork_has_connections_of_its_own_and_waits_for_no_thread_of_its_parent() -> None:
    """On those of its parent it would be answered what its parent asked for."""
    done = {"id": "t-1", "task_type": "echo", "state": "succeeded", "result": 1, "error": None}
    with scripted(answer(200, done)) as api:
        subprocess.run([sys.executable, "-c", CODE, api.url], check=True, timeout=60)
    assert (len(api.asked), api.connections) == (2, 2)
