import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from pointsman_service.api.metrics.prometheus import own_families
from pointsman_service.observe.exposition import Exposition
from pointsman_service.store.metrics.exposed import Exposed
from tests.stand.environment import ROOT
from tests.unit.deploy.compose import read_yaml, services
from tests.unit.observe.test_exposition import full

CONFIG = read_yaml(ROOT / "docs" / "deploy" / "prometheus.yml")
FILES = (ROOT / "docs" / "deploy" / "alerts.yml", ROOT / "docs" / "deploy" / "observability" / "rules.yml")
ALL = [rule for file in FILES for group in read_yaml(file)["groups"] for rule in group["rules"]]
RULES = {rule["alert"]: rule for rule in ALL if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in ALL if "record" in rule}
DASHBOARD = json.loads((ROOT / "docs" / "deploy" / "observability" / "dashboard.json").read_text(encoding="utf-8"))


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


def test_each_alert_is_defined_once() -> None:
    names = [rule["alert"] for rule in ALL if "alert" in rule]
    assert len(set(names)) == len(names)


def exposed() -> set[str]:
    """The names of all series, as far as rules may ask for them."""
    names = set()
    for family in [*Exposition(full()).collect(), *own_families(Exposed(1, 0.0, 0.0, None))]:
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        names |= {family.name + suffix for suffix in suffixes}
    return names


def asked(expression: str) -> set[str]:
    """What it asks for."""
    return set(re.findall(r"(?:\w+:)?\bpointsman_\w+(?::\w+)?", expression))


@pytest.mark.parametrize("name", [*RULES, *RECORDED])
def test_rule_asks_for_metrics_that_are_exposed_or_recorded(name: str) -> None:
    rule = RULES.get(name) or RECORDED[name]
    assert asked(rule["expr"]) <= exposed() | RECORDED.keys()
    assert asked(rule["expr"]) or rule["expr"].startswith('up{job="pointsman"}')
    assert name in RECORDED or rule["annotations"]["summary"]


def test_dashboard_asks_for_metrics_that_are_exposed_or_recorded() -> None:
    targets = [target for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    assert len(targets) > 40
    for target in targets:
        assert asked(target["expr"]), target["expr"]
        assert asked(target["expr"]) <= exposed() | RECORDED.keys(), target["expr"]


def test_dashboard_is_laid_out_as_grafana_wants_it() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    text = json.dumps(DASHBOARD)
    assert set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__all"} == variables
    assert {json.dumps(one) for one in find_all(DASHBOARD, "datasource")} == {
        json.dumps({"type": "prometheus", "uid": "${datasource}"})
    }


def find_all(value: Any, name: str) -> Iterator[Any]:
    """Everything under that name, at any depth."""
    if isinstance(value, dict):
        if name in value:
            yield value[name]
        for inner in value.values():
            yield from find_all(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from find_all(inner, name)
