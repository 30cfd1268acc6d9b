"""The names of our keys in Redis, which the scripts know too."""

import re
from importlib.resources import files

from pointsman_contract import keys

NAMES = {value for name, value in vars(keys).items() if isinstance(value, str) and name.isupper()}


def test_every_key_that_a_script_names_is_one_of_ours() -> None:
    scripts = [script for script in files("pointsman_contract.lua").iterdir() if script.name.endswith(".lua")]
    named = {key for script in scripts for key in re.findall(r"'(pointsman:[^']*)'", script.read_text())}
    assert {keys.BELL_PREFIX, keys.LISTENER_PREFIX, keys.LISTENER_BELL_PREFIX, keys.SET_ASIDE} < named
    assert named <= NAMES
