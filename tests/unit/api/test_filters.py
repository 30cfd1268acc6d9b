import time

from pointsman_service.api.requests.filters import LONGEST_WORKER, readings_of_tags
from pointsman_service.errors import FieldError
from pointsman_service.record.bodies import LONGEST_OWNER


def test_a_worker_is_found_whatever_name_it_may_have() -> None:
    assert LONGEST_WORKER == LONGEST_OWNER


def test_tag_is_read_at_each_colon_that_may_end_its_name() -> None:
    faults: list[FieldError] = []
    assert readings_of_tags(["a:b:c", ":x:y", "n:"], faults) == [
        [{"a": "b:c"}, {"a:b": "c"}],
        [{":x": "y"}],
        [{"n": ""}],
    ]
    assert readings_of_tags(["n" * 64 + ":v"], faults) == [[{"n" * 64: "v"}]]
    assert not faults
    assert readings_of_tags(["n" * 65 + ":v", "none", ":v"], faults) == []
    assert len(faults) == 3


def test_reading_a_tag_of_colons_takes_time_in_proportion_to_its_length() -> None:
    began = time.process_time()
    ((*readings,),) = readings_of_tags([":" * 200_000], [])
    assert len(readings) == 64
    assert time.process_time() - began < 2
