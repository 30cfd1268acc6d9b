import re

import pytest

from pointsman_service.broker import Depths
from pointsman_service.observe.broker_state import BrokerState
from pointsman_service.observe.exposition import Exposition, Snapshot
from tests.stand.environment import ROOT
from tests.unit.deploy.compose import read_yaml, services

CONFIG = read_yaml(ROOT / "docs" / "deploy" / "prometheus.yml")
RULES = {
    rule["alert"]: rule
    for group in read_yaml(ROOT / "docs" / "deploy" / "alerts.yml")["groups"]
    for rule in group["rules"]
}


def test_api_is_scraped_where_compose_runs_it() -> None:
    (job,) = CONFIG["scrape_configs"]
    ((target,),) = (static["targets"] for static in job["static_configs"])
    name, _, port = target.partition(":")
    assert services()[name]["ports"][0].endswith(f":{port}")
    assert set(services()["prometheus"]["networks"]) & set(services()[name]["networks"])


def test_rules_are_mounted_where_prometheus_looks_for_them() -> None:
    mounted = [volume.split(":")[1] for volume in services()["prometheus"]["volumes"]]
    assert set(CONFIG["rule_files"]) <= set(mounted)
    for volume in services()["prometheus"]["volumes"]:
        source = volume.partition(":")[0]
        assert not source.startswith("./") or (ROOT / source).is_file()


@pytest.mark.parametrize("name", RULES)
def test_alert_asks_for_metrics_that_are_exposed(name: str) -> None:
    broker = BrokerState(Depths(1, 0, {}), "", {}, set_aside={})
    empty = Snapshot(broker, [], {}, [], 0.0, [], alerts={}, left_out={})
    exposed = {family.name + ("_total" if family.type == "counter" else "") for family in Exposition(empty).collect()}
    asked = set(re.findall(r"\bpointsman_\w+", RULES[name]["expr"]))
    assert asked <= exposed
    assert asked or RULES[name]["expr"].startswith('up{job="pointsman"}')
    assert RULES[name]["annotations"]["summary"]
