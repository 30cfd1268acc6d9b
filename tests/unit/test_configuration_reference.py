import subprocess
import sys

from tests.stand.environment import ROOT


def test_reference_of_settings_is_up_to_date() -> None:
    """When this fails: .venv/bin/python scripts/configuration_reference.py"""
    words = [sys.executable, "scripts/configuration_reference.py", "--check"]
    checked = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_introduction_of_the_reference_names_what_it_promises() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    for name in ("CELERY_TASK_ROUTES", "CIRCUIT_BREAKER", "CELERY_RETRY_POLICY", "POINTSMAN_CONFIG", "`database_url`"):
        assert name in page


def test_every_setting_says_what_it_means() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row for row in rows if row.endswith("|  |")] == []
