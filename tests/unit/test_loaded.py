"""What a process of the service reads of its own code."""

import subprocess
import sys

from tests.stand.environment import ROOT


def loaded(module: str, *of: str) -> str:
    """Of these packages, what is loaded with that module."""
    asked = f"[name for name in sys.modules if name.startswith({of})]"
    words = [sys.executable, "-c", f"import sys, {module}; print({asked})"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def test_a_process_that_has_no_api_reads_nothing_of_it() -> None:
    assert (
        loaded("pointsman_service.app.process", "fastapi", "pointsman_service.api", "pointsman_service.dashboard")
        == "[]"
    )


def test_a_process_that_serves_loads_nothing_that_only_some_installations_or_commands_need() -> None:
    assert (
        loaded("pointsman_service.app.application", "alembic", "httpx", "httpcore", "aiosmtplib", "jwt", "rich") == "[]"
    )
