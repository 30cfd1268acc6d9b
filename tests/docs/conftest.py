"""One desk with one running stack for all pages."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.docs.desk import Desk
from tests.docs.markdown import PAGES, blocks_of


@pytest.fixture(scope="session")
def curl() -> None:
    """Pages call the API with curl, so it must be there."""
    if shutil.which("curl") is None:
        if os.environ.get("POINTSMAN_CI"):
            pytest.fail("curl is not installed: the documentation cannot be tried")
        pytest.skip("curl is not installed: the documentation cannot be tried")


@pytest.fixture(scope="session")
def desk(curl: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A running stack among the files of all pages."""
    blocks = [block for page in PAGES for block in blocks_of(page)]
    with Desk(tmp_path_factory.mktemp("desk"), blocks) as running:
        yield running
