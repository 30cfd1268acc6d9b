"""What ``./scripts/screenshots`` does before it starts anything, and the pictures that are kept."""

import struct
import zlib
from pathlib import Path

import pytest

from tests.pictures.__main__ import main
from tests.pictures.album import Look
from tests.pictures.small_png import png
from tests.pictures.story import NAMES
from tests.stand.environment import ROOT

KEPT = ROOT / "docs" / "pictures"
MOST_BYTES = 2_500_000


def test_help_names_every_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert all(name in said for name in NAMES)
    assert "--out" in said


def test_a_page_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "nowhere"])
    assert ended.value.code == 2
    assert "nowhere" in capsys.readouterr().err


def test_without_chromium_it_says_what_is_missing_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "screenshots: needs chromium: apt-get install chromium\n"
    assert not (tmp_path / "out").exists()


def test_small_png_has_its_size_its_palette_and_its_pixels() -> None:
    made = png(3, 2, [0xFF0000, 0x00FF80], bytes([0, 1, 0, 1, 1, 0]))
    chunks, at = {}, 8
    while at < len(made):
        (length,), name = struct.unpack(">I", made[at : at + 4]), made[at + 4 : at + 8]
        data = made[at + 8 : at + 8 + length]
        assert struct.unpack(">I", made[at + 8 + length : at + 12 + length]) == (zlib.crc32(name + data),)
        chunks[name] = data
        at += 12 + length
    assert struct.unpack(">IIBB", chunks[b"IHDR"][:10]) == (3, 2, 8, 3)
    assert chunks[b"PLTE"] == bytes([255, 0, 0, 0, 255, 128])
    assert zlib.decompress(chunks[b"IDAT"]) == bytes([0, 0, 1, 0, 0, 1, 1, 0])


def test_kept_pictures_are_of_pages_that_are_drawn_and_small_together() -> None:
    kept = sorted(KEPT.iterdir())
    names = {f"{name}{look}.png" for name in NAMES for look in Look} | {"terminal.txt"}
    assert {path.name for path in kept} <= names
    assert len(kept) > 20
    assert sum(path.stat().st_size for path in kept) < MOST_BYTES
