"""docs/deploy/nginx.conf: the proxy of docker-compose.yml, read as nginx reads it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from pointsman_service.settings import Settings
from tests.stand.environment import ROOT
from tests.unit.deploy import compose

CONF = (ROOT / "docs" / "deploy" / "nginx.conf").read_text(encoding="utf-8")
_TOKEN = re.compile(r"\s+|#[^\n]*|(?P<word>\"[^\"]*\"|'[^']*'|(?:\$\{|[^\s;{}])+|[;{}])")
Block = list[tuple[list[str], Any]]


def read(text: str) -> Block:
    """Directives in their order: each its words, and the directives within it. Fails where nginx would."""
    top: Block = []
    within = [top]
    words: list[str] = []
    for found in _TOKEN.finditer(text):
        word = found["word"]
        if word == ";":
            assert words, "a directive without words"
            within[-1].append((words, None))
            words = []
        elif word == "{":
            within.append([])
            within[-2].append((words, within[-1]))
            words = []
        elif word == "}":
            assert not words, f"{words} does not end"
            within.pop()
        elif word is not None:
            words = [*words, word.strip("\"'")]
    assert (len(within), words) == (1, []), "a block does not end"
    return top


def of(block: Block, *names: str) -> Any:
    """The one directive of these words, or the block of it."""
    (found,) = [(words, inner) for words, inner in block if words[: len(names)] == list(names)]
    words, inner = found
    return words[len(names) :] if inner is None else inner


def servers() -> list[Block]:
    return [inner for words, inner in of(read(CONF), "http") if words == ["server"]]


def tls() -> Block:
    (found,) = [server for server in servers() if of(server, "listen")[1:] == ["ssl"]]
    return found


def test_only_the_port_with_tls_leads_to_the_api() -> None:
    (port,) = compose.services()["proxy"]["ports"]
    assert of(tls(), "listen")[0] == compose.resolve(port, {}).rpartition(":")[2]
    assert of(tls(), "ssl_protocols") == ["TLSv1.2", "TLSv1.3"]
    assert [server for server in servers() if any(words[0] == "location" for words, _ in server)] == [tls()]
    for name in ("ssl_certificate", "ssl_certificate_key"):
        (path,) = of(tls(), name)
        assert Path(path).name in compose.services()["proxy"]["secrets"]


def test_it_leads_to_the_api_by_its_name_and_hands_on_what_the_api_asks_for() -> None:
    location = of(tls(), "location", "/")
    assert of(location, "set", "$pointsman") == ["http://api:8000"]
    assert set(compose.services()["proxy"]["networks"]) <= set(compose.services()["api"]["networks"])
    assert of(location, "proxy_set_header", "Host") == ["$http_host"]
    assert of(location, "proxy_set_header", "X-Forwarded-Proto") == ["$scheme"]
    # Callers' keys are passed on as they are, as whatever nothing is said of.
    assert "Authorization" not in CONF
    assert of(location, "proxy_buffering") == ["off"]


def test_no_body_that_the_api_takes_is_too_long_for_it() -> None:
    assert of(of(read(CONF), "http"), "client_max_body_size") == [f"{Settings().batch_bytes // 1024**2}m"]


def test_it_writes_nowhere_but_to_tmp() -> None:
    http = of(read(CONF), "http")
    paths = [words[1] for words, _ in [*read(CONF), *http] if words[0] in ("pid",) or words[0].endswith("temp_path")]
    assert len(paths) == 6
    assert all(path.startswith("/tmp/") for path in paths)


def test_nginx_takes_it_where_there_is_one_and_every_directive_ends(tmp_path: Path) -> None:
    here = tmp_path / "nginx.conf"
    here.write_text(re.sub(r"/(run/secrets|tmp|dev)/", f"{tmp_path}/", CONF))
    assert len(read(here.read_text())) == len(read(CONF)) == 5
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if nginx is None:
        return
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"]
    keys = ["-keyout", str(tmp_path / "proxy_key"), "-out", str(tmp_path / "proxy_certificate")]
    subprocess.run(["openssl", *words, *keys], check=True, capture_output=True)
    found = subprocess.run([nginx, "-t", "-p", str(tmp_path), "-c", str(here)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
