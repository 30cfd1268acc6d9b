import pytest

from pointsman_service.api.requests.ids import id_of

ID = "01a2232d-720e-73cb-b441-12abb798a05d"


@pytest.mark.parametrize("text", [ID, ID.upper()])
def test_an_id_is_read_as_the_api_writes_it(text: str) -> None:
    assert str(id_of(text)) == ID


@pytest.mark.parametrize("text", ["", "null", ID.replace("-", ""), f"urn:uuid:{ID}", f"{{{ID}}}", f" {ID}"])
def test_what_only_python_reads_as_an_id_is_none(text: str) -> None:
    assert id_of(text) is None
