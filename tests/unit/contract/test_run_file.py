"""Where a running supervisor says which servers it started."""

import os
import subprocess
import sys
from pathlib import Path

from pointsman_contract.run_file import RunFile


def written(directory: Path, pid: int) -> RunFile:
    found = RunFile(supervisor_pid=pid, database_url="d", redis_url="r", api_url="a")
    found.write(directory)
    return found


def test_file_of_a_supervisor_that_lives_is_read(tmp_path: Path) -> None:
    assert RunFile.read(tmp_path) is None
    found = written(tmp_path, os.getpid())
    assert RunFile.read(tmp_path) == found


def test_file_of_a_supervisor_that_ended_is_not_though_nobody_has_reaped_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        written(tmp_path, ended.pid)
        assert RunFile.read(tmp_path) is None
    assert RunFile.read(tmp_path) is None
