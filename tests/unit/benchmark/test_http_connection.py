"""The requests that the benches send."""

from tests.benchmark.http_connection import post


def test_an_address_without_a_path_is_asked_for_its_root() -> None:
    assert post("http://127.0.0.1:8000", b"{}").startswith(b"POST / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n")
