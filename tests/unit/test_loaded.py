"""What a process of the service reads of its own code."""

import subprocess
import sys

from tests.stand.environment import ROOT


def test_a_process_that_has_no_api_reads_nothing_of_it() -> None:
    api = "('fastapi', 'pointsman_service.api', 'pointsman_service.dashboard')"
    asked = f"[name for name in sys.modules if name.startswith({api})]"
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys, pointsman_service.app.process; print({asked})"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "[]"
