"""What docs/deploy.md says of the files is what the files say."""

import re

import pytest
from ruamel.yaml import YAML

from pointsman_contract import setting_names
from pointsman_contract.configuration import FILE_SUFFIX, PREFIX
from pointsman_contract.nodes import worker_words
from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_service.settings import Settings
from tests.stand.environment import ROOT
from tests.unit.deploy import compose
from tests.unit.deploy.dockerfile import stages

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
SECRETS, RINGS, OVERRIDE, MANIFEST = (
    YAML(typ="safe").load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
)


def _minutes(seconds: int) -> str:
    whole, rest = divmod(seconds, 60)
    return " ".join([f"{whole} min"] * bool(whole) + [f"{rest} s"] * bool(rest))


@pytest.mark.parametrize("name", compose.services())
def test_every_service_is_in_the_table(name: str) -> None:
    assert re.search(rf"^\|.*`{name}`.*\|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(compose.services().keys() - {"migrate", "keys", "flower", "prometheus"}))
def test_grace_is_what_the_table_says(name: str) -> None:
    graces = _graces()
    said = graces.get(name) or graces["workers"]
    assert said == _minutes(compose.seconds(compose.services()[name]["stop_grace_period"]))


def _graces() -> dict[str, str]:
    """By service. The workers' row ends with what most of them have, then those that have another."""
    section = PAGE.partition("## Stopping")[2].partition("\n## ")[0]
    found = {}
    for names, grace in re.findall(r"^\| ([^|]+) \|.*\| ([^|]+) \|$", section, re.MULTILINE):
        usual, *others = grace.split("; ")
        found.update(dict.fromkeys(re.findall(r"[\w-]+", names), usual.rpartition(": ")[2]))
        found.update(other.removeprefix("`").split("` ") for other in others)
    return found


def test_override_adds_a_secret_for_services_there_are_and_a_setting_that_may_be_a_file() -> None:
    for name, added in SECRETS["services"].items():
        assert name in compose.ours()
        assert set(added["secrets"]) == SECRETS["secrets"].keys()
        for variable, path in added["environment"].items():
            assert variable.removeprefix(PREFIX).removesuffix(FILE_SUFFIX).lower() in setting_names.SECRETS
            assert path == f"/run/secrets/{added['secrets'][0]}"


def test_rings_of_keys_go_to_every_process_that_sends_or_takes() -> None:
    assert RINGS["services"].keys() == compose.ours().keys() - {"migrate", "keys"}
    for added in RINGS["services"].values():
        assert added["secrets"] == list(RINGS["secrets"])
        files = {name: value for name, value in added["environment"].items() if name.endswith(FILE_SUFFIX)}
        assert set(files.values()) == {f"/run/secrets/{name}" for name in RINGS["secrets"]}
        for variable in added["environment"]:
            name = variable.removeprefix(PREFIX).removesuffix(FILE_SUFFIX).lower()
            assert name in Settings.model_fields
            assert (variable in files) == (name in setting_names.SECRETS)


def test_override_leaves_out_services_that_nothing_needs_by_force() -> None:
    left_out = set(OVERRIDE["services"])
    assert left_out <= set(compose.services())
    for service in compose.services().values():
        for name, wanted in service.get("depends_on", {}).items():
            assert name not in left_out or wanted["required"] is False


def test_pod_runs_as_the_container_of_compose_does() -> None:
    pod = MANIFEST["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    pool = next(pool for pool in DEFAULT_TOPOLOGY.pools if pool.name == "email")
    words = worker_words(pool)
    assert container["command"] == list(words[words.index("celery") :])
    grace = compose.seconds(compose.services()["worker-email"]["stop_grace_period"])
    assert pod["terminationGracePeriodSeconds"] == grace
    user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert user == stages()[-1].only("USER").text
    probe = container["livenessProbe"]["exec"]["command"]
    assert f"CMD {str(probe).replace(chr(39), chr(34))}" == stages()[-1].only("HEALTHCHECK").text
    assert container["startupProbe"]["exec"]["command"] == probe
    assert pod["enableServiceLinks"] is False
