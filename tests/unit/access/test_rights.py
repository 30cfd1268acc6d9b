"""Every operation of the document takes exactly one scope, or says that it takes none."""

import pytest

from pointsman_service.access.checking import check_right, check_scope
from pointsman_service.access.rights import _BY_SCOPE, RIGHTS, Names, operations_of
from pointsman_service.access.scopes import ALL, PRESETS, KeyScope
from pointsman_service.app.application import openapi_document
from pointsman_service.callers import LOCAL, NOBODY, Caller, KnownBy
from pointsman_service.errors import KeyMissing, ScopeMissing
from pointsman_service.operate.act import ActKind
from tests.unit.front.asking import operations

OPERATIONS = {one.id: one for one in operations()}


def test_every_operation_of_the_document_has_its_place_and_no_other_has() -> None:
    assert set(RIGHTS) == set(OPERATIONS)


def test_no_operation_stands_twice() -> None:
    listed = [one for by_names in _BY_SCOPE.values() for group in by_names.values() for one in group]
    assert len(listed) == len(set(listed)) == len(RIGHTS)


def test_every_scope_opens_something() -> None:
    assert {right.scope for right in RIGHTS.values()} - {None} == ALL


def test_what_changes_something_takes_a_scope_that_says_so() -> None:
    for name, operation in OPERATIONS.items():
        scope = RIGHTS[name].scope
        reads = scope is None or scope.endswith(":read")
        assert reads == operation.is_safe, name


def test_every_act_is_an_operation() -> None:
    assert {str(kind) for kind in ActKind} <= set(RIGHTS)


def test_what_stands_in_a_path_is_where_the_table_says() -> None:
    of = {"{task_id}": Names.TASK, "{act_id}": Names.TASK_ACT, "{replay_id}": Names.REPLAY}
    for name, operation in OPERATIONS.items():
        for part, names in of.items():
            assert (part in operation.template) == (RIGHTS[name].names is names), name


def test_viewers_change_nothing() -> None:
    assert all(OPERATIONS[name].is_safe for name in operations_of(PRESETS["viewer"]))  # type: ignore[index]


def test_nobody_does_only_what_nobody_is_asked_for() -> None:
    for name, right in RIGHTS.items():
        if right.scope is None:
            check_right(NOBODY, name)
        else:
            with pytest.raises(KeyMissing):
                check_right(NOBODY, name)


def test_who_comes_from_this_machine_does_everything() -> None:
    for name in RIGHTS:
        check_right(LOCAL, name)


@pytest.mark.parametrize("scope", sorted(ALL))
def test_the_scope_that_is_missing_is_named(scope: KeyScope) -> None:
    rest = ALL - {scope}
    caller = Caller("x", KnownBy.KEY, operations_of(rest), scopes=frozenset(map(str, rest)))
    for name, right in RIGHTS.items():
        if right.scope is not scope:
            check_right(caller, name)
            continue
        with pytest.raises(ScopeMissing) as refused:
            check_right(caller, name)
        assert refused.value.scope == scope
        assert scope in refused.value.detail
        assert f'error="insufficient_scope", scope="{scope}"' in (refused.value.challenge or "")
    with pytest.raises(ScopeMissing):
        check_scope(caller, scope)


def test_the_document_says_which_scope_each_operation_takes() -> None:
    document = openapi_document()
    for of_path in document["paths"].values():
        for described in of_path.values():
            name = described["operationId"]
            scope = RIGHTS[name].scope
            assert described["security"] == ([] if scope is None else [{"key": [scope]}]), name
            assert "401" in described["responses"], name
            assert ("403" in described["responses"]) or scope is None, name
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
