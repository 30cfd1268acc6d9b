"""``./scripts/up --demo`` whole: its shop, its bank and its worker."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman_client import Client
from pointsman_client.models import Task
from pointsman_contract.run_file import RunFile
from pointsman_service.embedded.demo.orders import PRICED
from tests.integration.embedded.running_up import Up
from tests.stand.waiting import until_now


@pytest.fixture
def demo(data_dir: Path, new_cluster: Path, tmp_path: Path) -> Iterator[Up]:
    shutil.copytree(new_cluster, data_dir / "postgres")
    words = ["--data-dir", str(data_dir), "--port", "0", "--pools", "compact", "--demo"]
    # In place of what the user has anyway.
    mine = {"TMPDIR": str(tmp_path), "POINTSMAN_TASK_MODULES": "pointsman.shipped.tasks.diagnostics"}
    # On this machine it asks nobody unless told to.
    mine["POINTSMAN_KEYS_REQUIRED"] = "true"
    up = Up([sys.executable, "-m", "pointsman_service.embedded", *words], mine)
    yield up
    up.close()


def test_demo_sells_and_charges_and_stops_without_leftovers(demo: Up, data_dir: Path) -> None:
    demo.wait_for("Ctrl-C stops it.")
    run = RunFile.read(data_dir)
    assert run is not None
    assert f"Key        of an admin, in {data_dir}/admin_key" in demo.output
    key = (data_dir / "admin_key").read_text().strip()
    with Client(run.api_url, key=key) as client:

        def ended(task_type: str) -> list[Task]:
            found = client.tasks.list(task_type=task_type, caller="pointsman-demo").items
            return [one for one in found if one.state not in ("queued", "running")]

        until_now(lambda: ended(PRICED) and ended("shop.charge"), "an order to be confirmed and one to be charged")
        (charged, *_) = ended("shop.charge")
        assert charged.state == "succeeded"
        assert charged.result["receipt"].startswith("B-")
        assert charged.tags["source"] == "demo"
        assert charged.expires_at is not None
    demo.interrupt()
    assert demo.wait_end() == 0, demo.output
    demo.expect_nothing_left()
    assert "refused" not in demo.output
    assert key not in demo.output
    logs = {log.name: log.read_text() for log in (data_dir / "logs").iterdir()}
    assert "demo.log" in logs
    assert [name for name, said in logs.items() if "Traceback" in said] == []
