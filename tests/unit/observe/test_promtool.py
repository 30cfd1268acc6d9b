"""What Prometheus itself says of the exposition and of the rules in the docs."""

import subprocess
from pathlib import Path

from tests.needs import program
from tests.unit.deploy.compose import ROOT
from tests.unit.observe.test_exposition import sums, text

DOCS = ROOT / "docs" / "deploy"


def promtool(*words: str, given: str = "") -> str:
    tool = program("promtool", "prometheus")
    ended = subprocess.run([tool, *words], input=given, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_promtool_finds_nothing_to_say_of_the_metrics() -> None:
    said = promtool("check", "metrics", given=text([sums([0.1], [0.2])], kinds=[("b", "critical")]))
    assert said == ""


def test_promtool_takes_the_rules_and_the_configuration_of_the_docs(tmp_path: Path) -> None:
    promtool("check", "rules", str(DOCS / "alerts.yml"))
    config = (DOCS / "prometheus.yml").read_text().replace("/etc/prometheus/alerts.yml", str(DOCS / "alerts.yml"))
    (tmp_path / "prometheus.yml").write_text(config)
    promtool("check", "config", str(tmp_path / "prometheus.yml"))
