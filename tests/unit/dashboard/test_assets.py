import gzip
import hashlib
import re

import pytest

from pointsman_service.dashboard.assets import FOLDER, asset_at, assets
from pointsman_service.errors import NotFound

VENDORED = FOLDER / "vendored"


def test_every_file_of_others_is_the_one_that_they_published() -> None:
    """Whoever takes a newer one: ``npm pack``, copy, ``sha256sum`` into the list, and the release into NOTICE."""
    lines = (VENDORED / "SHA256SUMS").read_text().splitlines()
    listed = {line.split()[1]: line.split()[0] for line in lines}
    there = {file.name for file in VENDORED.iterdir()} - {"SHA256SUMS", "NOTICE"}
    assert there == set(listed)
    for name, digest in listed.items():
        assert hashlib.sha256((VENDORED / name).read_bytes()).hexdigest() == digest, name


def test_an_asset_is_called_by_its_content_and_kept_for_ever() -> None:
    asset = assets()["dashboard.css"]
    assert hashlib.sha256(asset.content).hexdigest().startswith(asset.path.split("/")[1])
    packed = asset_at(asset.path).answer(accepts_gzip=True)
    assert gzip.decompress(packed.body) == asset.content
    assert dict(packed.headers)[b"cache-control"] == b"public, max-age=31536000, immutable"
    with pytest.raises(NotFound):
        asset_at("static/000000000000/dashboard.css")


def test_our_style_and_script_ask_nobody_else() -> None:
    for name in ("dashboard.css", "dashboard.js"):
        assert re.search(rb"https?://|@import|url\(", assets()[name].content) is None, name
