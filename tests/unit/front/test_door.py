import logging
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import from_json

from pointsman_service.api.tasks.submissions import BATCH_PATH
from pointsman_service.front.door import Door
from pointsman_service.settings import Settings
from pointsman_service.telemetry import request_id

OURS = "127.0.0.1:8000"


class Behind:
    """An application that answers 200 and counts."""

    def __init__(self) -> None:
        self.asked = 0

    def close_streams(self) -> None:
        pass

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def asked(method: str, headers: dict[str, str], **settings: Any) -> int:
    """The status of a request through a door."""
    behind, sent = Behind(), list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/v1/queues/email/resume", "headers": fields}
    await Door(behind, Settings(**settings))(scope, None, send)
    status: int = sent[0]["status"]
    assert behind.asked == (status == 200)
    return status


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8000", "127.0.0.1", "127.9.9.9:1", "localhost:8000", "LocalHost.", "[::1]:8000", "a.localhost:80", ""],
)
async def test_a_name_of_this_machine_is_let_in(host: str) -> None:
    assert await asked("GET", {"Host": host}) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8000", "10.0.0.5:8000", "[::2]:8000", "localhost.evil.example", "127.0.0.1.evil.example",
        "127.0.0.1:8000@evil.example", "evil.example#localhost", "[::1", "loc\u00e4lhost", " ",
        "[::1]evil", "127.0.0.1#.evil", "127.0.0.1?evil", "localhost/evil", "me@localhost", "localhost:evil",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
async def test_another_name_is_refused(host: str, method: str) -> None:
    assert await asked(method, {"Host": host}) == 421


async def test_names_of_the_settings_are_let_in() -> None:
    hosts = {"allowed_hosts": ("api", "Pointsman.example.org."), "alert_base_url": "https://alerts.example.org:8443/x"}
    for host in ("api:8000", "pointsman.example.org", "ALERTS.example.org"):
        assert await asked("GET", {"Host": host}, **hosts) == 200
    assert await asked("GET", {"Host": "api.example.org"}, **hosts) == 421
    assert await asked("GET", {"Host": "evil.example"}, allowed_hosts=("*",)) == 200


async def test_bound_to_other_addresses_an_address_is_a_good_name_and_a_name_is_not() -> None:
    assert await asked("GET", {"Host": "10.1.2.3:8000"}, host="0.0.0.0") == 200
    assert await asked("GET", {"Host": "[2001:db8::1]"}, host="::") == 200
    assert await asked("GET", {"Host": "evil.example"}, host="0.0.0.0") == 421
    assert await asked("GET", {"Host": "box.internal"}, host="box.internal") == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "https://127.0.0.1:8000.evil.example"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_a_page_of_another_site_cannot_act(headers: dict[str, str], method: str) -> None:
    assert await asked(method, {"Host": OURS} | headers) == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://127.0.0.1:8000"},
    ],
)
async def test_its_own_pages_and_what_is_no_browser_act(headers: dict[str, str]) -> None:
    assert await asked("POST", {"Host": OURS} | headers) == 200


async def test_a_proxy_that_takes_the_tls_off_leaves_the_origin_the_same() -> None:
    headers = {"Host": "pm.example.org", "Origin": "https://pm.example.org"}
    assert await asked("POST", headers, allowed_hosts=("pm.example.org",)) == 200


async def test_pages_of_the_settings_act() -> None:
    headers = {"Host": OURS, "Sec-Fetch-Site": "cross-site", "Origin": "https://desk.example.org"}
    assert await asked("POST", headers, allowed_origins=("https://desk.example.org/",)) == 200
    assert await asked("POST", headers, allowed_origins=("https://other.example.org",)) == 403


async def test_a_link_from_another_site_is_followed_and_its_scripts_read_nothing() -> None:
    link = {"Host": OURS, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert await asked("GET", link) == 200
    assert await asked("GET", link | {"Sec-Fetch-Mode": "no-cors"}) == 403
    assert await asked("GET", link | {"Sec-Fetch-Mode": "cors"}) == 403


@pytest.mark.parametrize("written", ["a.example, b.example", '["a.example", "b.example"]'])
def test_hosts_are_given_by_commas_or_as_json(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("POINTSMAN_ALLOWED_HOSTS", written)
    assert Settings().allowed_hosts == ("a.example", "b.example")


@pytest.mark.parametrize("written", ["api", "Points_man.example.internal.", "10.0.0.5", "::1", "[2001:db8::1]", "*"])
def test_a_name_or_an_address_may_be_allowed(written: str) -> None:
    assert Settings(allowed_hosts=(written,)).allowed_hosts == (written,)


@pytest.mark.parametrize(
    "written", ["api:8000", "https://api", "api/", "*.example.org", "[::1]:8000", "a b", "caf\u00e9.example", ""]
)
def test_a_host_that_would_let_nobody_in_is_refused_at_start(written: str) -> None:
    with pytest.raises(ValidationError, match="is no name of a host"):
        Settings(allowed_hosts=(written,))


@pytest.mark.parametrize("written", ["desk.example.org", "https://desk.example.org/app", "*", "https://", "null"])
def test_an_origin_that_no_browser_sends_is_refused_at_start(written: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        Settings(allowed_origins=(written,))


@pytest.mark.parametrize("host", ["Desk.example:8000", "desk.example.", "desk.example"])
async def test_the_refusal_shows_the_name_that_would_allow_it(host: str) -> None:
    sent = list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/livez", "headers": [(b"host", host.encode())]}
    await Door(Behind(), Settings())(scope, None, send)
    assert b"the name 'desk.example';" in sent[1]["body"]
    assert await asked("GET", {"Host": host}, allowed_hosts=("desk.example",)) == 200


class Reading(Behind):
    """Reads the whole body before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            self.read += len(message["body"])
            more = message["more_body"]
        await super().__call__(scope, receive, send)


async def sent_to(behind: Any, headers: dict[str, str], *chunks: bytes, path: str = "/v1/tasks") -> Any:
    """What a POST through a door is answered: the start of it, and its body."""
    parts = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    parts.append({"type": "http.request", "body": b"", "more_body": False})
    sent = list[Any]()

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": fields}
    await Door(behind, Settings(body_bytes=1024, batch_bytes=4096))(scope, receive, send)
    return sent


async def test_a_declared_length_over_the_limit_is_refused_before_reading() -> None:
    behind = Reading()
    start, _ = await sent_to(behind, {"Content-Length": "1025"}, b"a" * 1025)
    assert (start["status"], behind.read) == (413, 0)
    start, _ = await sent_to(behind, {"Content-Length": "1024"}, b"a" * 1024)
    assert (start["status"], behind.read) == (200, 1024)


@pytest.mark.parametrize(("path", "most"), [("/v1/tasks", 1024), ("/v1/queues/email/pause", 1024), (BATCH_PATH, 4096)])
async def test_an_undeclared_body_over_the_limit_is_refused_without_reading_on(path: str, most: int) -> None:
    behind = Reading()
    start, body = await sent_to(behind, {"Transfer-Encoding": "chunked"}, *[b"a" * 512] * 100, path=path)
    assert (start["status"], behind.read) == (413, most)
    problem = from_json(body["body"])
    assert problem["type"] == "urn:pointsman:problem:body-too-large"
    assert problem["detail"] == f"The body is longer than {most} bytes."
    fits = Reading()
    assert (await sent_to(fits, {}, b"a" * most, path=path))[0]["status"] == 200


def id_in(start: Any) -> str:
    """The X-Request-ID of an answer, which has one."""
    (found,) = [value.decode() for name, value in start["headers"] if name == b"x-request-id"]
    return str(found)


@pytest.mark.parametrize("given", ["order-7", "x" * 128, "a b", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"])
@pytest.mark.parametrize("status", [200, 413])
async def test_a_request_keeps_the_name_it_was_given(given: str, status: int) -> None:
    body = b"a" if status == 200 else b"a" * 2000
    start, _ = await sent_to(Reading(), {"X-Request-ID": given}, body)
    assert (start["status"], id_in(start)) == (status, given)


@pytest.mark.parametrize("headers", [{}, *({"X-Request-ID": nonsense} for nonsense in ("", "x" * 129, "a\tb", "\xe9"))])
@pytest.mark.parametrize("status", [200, 413])
async def test_a_request_without_a_sane_name_gets_one_of_its_own(headers: dict[str, str], status: int) -> None:
    body = b"a" if status == 200 else b"a" * 2000
    answers = [(await sent_to(Reading(), headers, body))[0] for _ in range(3)]
    assert [start["status"] for start in answers] == [status] * 3
    names = {id_in(start) for start in answers}
    assert len(names) == 3
    assert not names & set(headers.values())


async def sent_twice(name: str, *values: str) -> tuple[Any, dict[str, Any]]:
    """How an answer begins, and its problem, to a request whose header fields give a name more than once."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    fields = [(name.lower().encode(), value.encode()) for value in values]
    await Door(Behind(), Settings())({"type": "http", "method": "GET", "path": "/livez", "headers": fields}, None, send)
    return sent[0], from_json(sent[1]["body"] or b"{}")


async def test_of_two_names_that_a_request_was_given_neither_is_kept() -> None:
    start, _ = await sent_twice("X-Request-ID", "order-7", "order-8")
    assert (start["status"], len(id_in(start))) == (200, 20)


@pytest.mark.parametrize("values", [(OURS, OURS), (OURS, "evil.example"), ("evil.example", OURS)])
async def test_two_hosts_are_refused_whichever_is_ours(values: tuple[str, str]) -> None:
    start, problem = await sent_twice("Host", *values)
    assert (start["status"], problem["detail"]) == (400, "Host is given more than once.")


class Broken(Behind):
    """Fails before it answers, or in the middle of its answer."""

    def __init__(self, begins: bool) -> None:
        super().__init__()
        self._begins = begins

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._begins:
            await send({"type": "http.response.start", "status": 200})
        raise ZeroDivisionError


async def test_a_fault_of_ours_is_logged_with_the_name_that_its_answer_tells(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        start, _ = await sent_to(Broken(begins=False), {"X-Request-ID": "order-7"})
    assert (start["status"], id_in(start)) == (500, "order-7")
    assert request_id.get() == b"order-7", "this test is the request"


async def test_an_answer_that_has_begun_is_cut_off() -> None:
    with pytest.raises(ZeroDivisionError):
        await sent_to(Broken(begins=True), {})
