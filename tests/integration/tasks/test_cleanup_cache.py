import os
import time
from pathlib import Path
from typing import Any

import pytest

from pointsman.shipped.cache_files import SIGNATURE, TAG, Cleaned, NotACache, clean, make_cache
from pointsman.shipped.tasks.maintenance import cleanup_cache
from tests.integration.tasks.conftest import Configure, assert_refused, run

HOUR = 3600.0


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with one file in a directory and one beside it."""
    root = tmp_path / "cache"
    make_cache(root)
    (root / "below").mkdir()
    (root / "below" / "one").write_bytes(b"x" * 10)
    (root / "two").write_bytes(b"x" * 5)
    return root


def clean_in(root: Path, hours: float = 1, limit: int = 100, dry_run: bool = False) -> Cleaned:
    """Clean as if it were so many hours later, what is older than half of that."""
    return clean(root, unchanged_since=time.time() + hours * HOUR / 2, limit=limit, dry_run=dry_run)


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_old_files_and_empty_directories_are_deleted(cache: Path) -> None:
    done = clean_in(cache)
    assert names(cache) == [TAG]
    assert (done.files_deleted, done.bytes_freed, done.directories_deleted, done.kept) == (2, 15, 1, 0)
    assert done.complete
    assert done.errors == []


def test_young_files_are_kept(cache: Path) -> None:
    done = clean_in(cache, hours=-1)
    assert names(cache) == [TAG, "below", "below/one", "two"]
    assert (done.files_deleted, done.kept, done.directories_deleted) == (0, 2, 0)


def test_file_with_an_old_date_is_as_old_as_its_arrival(cache: Path) -> None:
    os.utime(cache / "two", (0, 0))
    assert clean_in(cache, hours=-1).kept == 2


def test_dry_run_counts_and_deletes_nothing(cache: Path) -> None:
    before = names(cache)
    done = clean_in(cache, dry_run=True)
    assert (done.files_deleted, done.bytes_freed) == (2, 15)
    assert names(cache) == before


def test_limit_ends_the_run_and_the_next_goes_on(cache: Path) -> None:
    first = clean_in(cache, limit=1)
    assert (first.files_deleted, first.complete) == (1, False)
    second = clean_in(cache, limit=1)
    assert (second.files_deleted, second.complete) == (1, True)


def test_links_are_neither_followed_nor_deleted(cache: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    (cache / "directory").symlink_to(outside)
    (cache / "file").symlink_to(outside / "precious")
    done = clean_in(cache)
    assert (outside / "precious").read_text() == "mine"
    assert names(cache) == [TAG, "directory", "file"]
    assert done.skipped == 2


def test_what_is_no_plain_file_is_skipped(cache: Path) -> None:
    os.mkfifo(cache / "pipe")
    assert clean_in(cache).skipped == 1
    assert (cache / "pipe").exists()


def test_file_that_cannot_be_deleted_is_named_and_the_rest_goes_on(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.unlink

    def unlink(name: str, *, dir_fd: int) -> None:
        if name == "one":
            raise PermissionError(13, "Permission denied", name)
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)
    done = clean_in(cache)
    assert done.errors == ["one: Permission denied"]
    assert done.files_deleted == 1


@pytest.mark.parametrize("content", [None, b"", b"Signature: something else"])
def test_directory_without_the_tag_is_no_cache(tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "precious").write_text("mine")
    if content is not None:
        (tmp_path / TAG).write_bytes(content)
    with pytest.raises(NotACache, match=r"CACHEDIR\.TAG"):
        clean_in(tmp_path)
    assert (tmp_path / "precious").exists()


def test_link_to_a_cache_is_refused(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(cache)
    with pytest.raises(NotACache):
        clean_in(tmp_path / "link")
    assert len(names(cache)) == 4


@pytest.mark.parametrize("root", [Path("/"), Path("/usr"), Path(__file__).parents[3], Path(__file__).parents[4]])
def test_directory_that_holds_the_system_or_this_program_is_refused_whatever_it_is_tagged(root: Path) -> None:
    with pytest.raises(NotACache, match="holds"):
        clean_in(root, dry_run=True)


def test_home_is_refused_with_a_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "me"))
    (tmp_path / TAG).write_bytes(SIGNATURE)
    with pytest.raises(NotACache, match="holds"):
        clean_in(tmp_path)


def test_task_makes_its_default_cache_and_cleans_it(configure: Configure, tmp_path: Path) -> None:
    root = tmp_path / "data" / "cache"
    result = run(cleanup_cache)
    assert (result["directory"], result["files_deleted"], result["dry_run"]) == (str(root), 0, False)
    assert (root / TAG).read_bytes().startswith(SIGNATURE)
    (root / "file").write_bytes(b"abc")
    assert run(cleanup_cache, older_than_seconds=HOUR)["kept"] == 1
    assert run(cleanup_cache, older_than_seconds=0, dry_run=True)["bytes_freed"] == 3
    assert run(cleanup_cache, older_than_seconds=0)["files_deleted"] == 1
    assert not (root / "file").exists()


def test_tag_of_a_directory_that_exists_is_not_made(tmp_path: Path, configure: Configure) -> None:
    configure(cache_dir=tmp_path)
    with pytest.raises(NotACache):
        run(cleanup_cache)
    assert not (tmp_path / TAG).exists()


@pytest.mark.parametrize("bad", [{"older_than_seconds": -1}, {"limit": 0}, {"dry_run": "maybe"}, {"root": "/"}])
def test_bad_argument_is_refused(bad: dict[str, Any]) -> None:
    assert_refused(cleanup_cache, **bad)
