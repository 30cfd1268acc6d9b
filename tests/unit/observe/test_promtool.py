"""What Prometheus itself says of the exposition and of the rules in the docs."""

import json
import subprocess
from pathlib import Path

import pytest

from pointsman_service.observe.exposition import Exposition, text_of
from tests.needs import program
from tests.stand.environment import ROOT
from tests.unit.observe.test_exposition import full

DOCS = ROOT / "docs" / "deploy"


def promtool(*words: str, given: str = "") -> str:
    tool = program("promtool", "prometheus")
    ended = subprocess.run([tool, *words], input=given, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_promtool_finds_nothing_to_say_of_the_metrics() -> None:
    assert promtool("check", "metrics", given=text_of(Exposition(full()).collect())) == ""


def test_promtool_takes_the_rules_and_the_configuration_of_the_docs(tmp_path: Path) -> None:
    rules = {"alerts.yml": DOCS / "alerts.yml", "rules.yml": DOCS / "observability" / "rules.yml"}
    config = (DOCS / "prometheus.yml").read_text()
    for name, file in rules.items():
        assert f"/etc/prometheus/{name}" in config
        promtool("check", "rules", str(file))
        config = config.replace(f"/etc/prometheus/{name}", str(file))
    key = tmp_path / "key"
    key.write_text("pm_")
    assert "credentials_file: /run/secrets/prometheus_key" in config
    config = config.replace("/run/secrets/prometheus_key", str(key))
    (tmp_path / "prometheus.yml").write_text(config)
    promtool("check", "config", str(tmp_path / "prometheus.yml"))


def test_rules_of_targets_and_of_the_control_plane_do_what_their_cases_say() -> None:
    cases = sorted((DOCS / "observability").glob("rules*_test.yml"))
    assert len(cases) == 2
    promtool("test", "rules", *map(str, cases))


@pytest.mark.parametrize(
    ("alert", "series", "quiet", "loud"),
    [
        ("MessagesSetAside", 'pointsman_set_aside_messages{queue="email"}', "0x30", "0x5 3x25"),
        ("EventsLeftOut", 'pointsman_events_left_out_total{reason="too_long"}', "7x30", "0x5 2x25"),
        ("BrokerKeySpoiled", 'pointsman_alerts_open{rule="broker_key",severity="page"}', "0x30", "0x5 1x25"),
        ("BrokerKeySpoiled", 'pointsman_alerts_open{rule="worker_lost",severity="page"}', "4x30", ""),
        ("SentAgainUnknowing", 'pointsman_uncertain_sendings_total{task_type="t",queue="q"}', "5x30", "0x5 9x25"),
    ],
)
def test_an_alert_of_the_docs_opens_with_its_condition_alone(
    tmp_path: Path, alert: str, series: str, quiet: str, loud: str
) -> None:
    (tmp_path / "cases.yml").write_text(
        json.dumps(
            {
                "rule_files": [str(DOCS / "alerts.yml")],
                "tests": [
                    {
                        "interval": "1m",
                        "input_series": [{"series": series, "values": values}],
                        "promql_expr_test": [
                            {
                                "expr": f'count by (alertname) (ALERTS{{alertname="{alert}",alertstate="firing"}})',
                                "eval_time": "10m",
                                "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}] * firing,
                            }
                        ],
                    }
                    for values, firing in ((quiet, 0), (loud, 1))
                    if values
                ],
            }
        )
    )
    promtool("test", "rules", str(tmp_path / "cases.yml"))
