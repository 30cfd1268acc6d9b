from pointsman_service.access.scopes import ALL, PRESETS, KeyScope, Preset, scopes_of


def test_every_preset_says_what_it_may() -> None:
    assert set(PRESETS) == set(Preset)
    assert PRESETS[Preset.ADMIN] == ALL


def test_a_preset_may_no_more_than_the_next() -> None:
    assert PRESETS[Preset.VIEWER] < PRESETS[Preset.OPERATOR] < PRESETS[Preset.ADMIN]
    assert PRESETS[Preset.SUBMITTER] < PRESETS[Preset.ADMIN]


def test_only_a_key_that_may_everything_handles_keys() -> None:
    for preset in set(Preset) - {Preset.ADMIN}:
        assert not PRESETS[preset] & {KeyScope.KEYS_ACT, KeyScope.KEYS_READ}, preset


def test_who_looks_at_everything_sees_no_payloads() -> None:
    assert KeyScope.PAYLOAD_READ not in PRESETS[Preset.VIEWER] | PRESETS[Preset.OPERATOR]


def test_scopes_stand_beside_those_of_a_preset() -> None:
    assert scopes_of("viewer", ["payload:read"]) == PRESETS[Preset.VIEWER] | {KeyScope.PAYLOAD_READ}
    assert scopes_of(None, ["tasks:submit"]) == {KeyScope.TASKS_SUBMIT}


def test_a_name_of_another_release_gives_nothing() -> None:
    assert scopes_of("emperor", ["tasks:dream"]) == frozenset()
