"""One image a session, and servers set up as docker-compose.yml sets up its own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.integration.deploy.image import Image, IndexAway, NoPython, build, remove
from tests.needs import missing
from tests.unit.deploy.compose import services


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The image, built by the Dockerfile's own instructions where everybody can reach it."""
    directory = Path(tempfile.mkdtemp(prefix="pointsman-image-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        yield build(directory)
    except (IndexAway, NoPython) as error:
        missing(f"the image's packages cannot be installed here: {type(error).__name__}: {error}")
    finally:
        remove(directory)


@pytest.fixture(scope="module")
def postgres_of_compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL with the settings of docker-compose.yml, open to every user of this machine."""
    words = services()["postgres"]["command"]
    settings = dict(word.removeprefix("-c").split("=", 1) for word in words[1:])
    settings["unix_socket_permissions"] = "0777"
    with PostgresServer(tmp_path_factory.mktemp("compose") / "postgres", settings=settings) as server:
        server.socket_dir.chmod(0o755)
        yield server


@pytest.fixture(scope="module")
def valkey_of_compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """Valkey with the settings of docker-compose.yml."""
    words = services()["valkey"]["command"]
    settings = {name.removeprefix("--"): value for name, value in zip(words[4::2], words[5::2], strict=True)}
    with ValkeyServer(tmp_path_factory.mktemp("compose") / "valkey", settings=settings) as server:
        yield server
