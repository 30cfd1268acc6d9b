import pytest

from pointsman_contract.catalogue import TaskTypeSpec


@pytest.fixture
def spec() -> TaskTypeSpec:
    """``def f(a, b, /, c, *, d)``, roughly: ``a`` only by position."""
    return TaskTypeSpec(name="f", time_limit_seconds=1, positional=("a", "b"), positional_only=1)


def test_positional_arguments_get_the_names_they_fill(spec: TaskTypeSpec) -> None:
    assert spec.bind([1, 2], {"d": 3}) == {"a": 1, "b": 2, "d": 3}


def test_too_many_positional_arguments_are_named_by_the_first(spec: TaskTypeSpec) -> None:
    assert spec.bind([1, 2, 3], {}) == [("/args/2", "takes at most 2 positional arguments, 3 given")]


def test_more_positional_arguments_pass_where_they_are_taken() -> None:
    spec = TaskTypeSpec(name="f", time_limit_seconds=1, positional=("a",), extra_positional=True)
    assert spec.bind([1, 2, 3], {}) == {"a": 1}


def test_an_argument_given_twice_is_refused(spec: TaskTypeSpec) -> None:
    assert spec.bind([1, 2], {"b": 3}) == [("/kwargs/b", "given by position and by name")]


def test_a_positional_only_argument_by_name_is_refused(spec: TaskTypeSpec) -> None:
    assert spec.bind([], {"a": 1}) == [("/kwargs/a", "can only be given by position")]


def test_pointers_lead_to_where_the_value_was_given(spec: TaskTypeSpec) -> None:
    assert spec.pointer(["a", "x", 0], given_by_position=1) == "/args/0/x/0"
    assert spec.pointer(["b"], given_by_position=1) == "/kwargs/b"
    assert spec.pointer(["a/b~c"], given_by_position=0) == "/kwargs/a~1b~0c"
    assert spec.pointer([], given_by_position=0) == "/kwargs"


def test_equal_specifications_have_equal_hashes(spec: TaskTypeSpec) -> None:
    assert spec.content_hash() == spec.model_copy().content_hash()
    assert spec.content_hash() != spec.model_copy(update={"queue": "email"}).content_hash()


def test_a_policy_with_more_than_this_version_knows_is_read() -> None:
    spec = TaskTypeSpec.model_validate({"name": "f", "time_limit_seconds": 1, "retry": {"max_retries": 7, "new": 1}})
    assert spec.retry.max_retries == 7
