"""``./scripts/screenshots``: every page of the dashboard and the terminal's, from the demo with an incident in it."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.pictures.album import FEW, Album, Look
from tests.pictures.installation import Installation, NotStarted
from tests.pictures.story import NAMES, play

_MISSING = 2


def main(words: Sequence[str] | None = None) -> int:
    """Draw them. 0: done. 1: the demo did not come so far. 2: something is missing, or the words are wrong."""
    parser = argparse.ArgumentParser(
        prog="screenshots",
        description="Start an installation of its own, play the demo on it with an incident, and draw every page of "
        "the dashboard, and the terminal's as text. It takes about three minutes.",
        epilog=f"Pages: {', '.join(NAMES)}. A picture is called after its page; NAME-dark.png and NAME-phone.png "
        "are the same in the dark and on a phone.",
    )
    parser.add_argument("--out", metavar="DIR", default="docs/pictures", help="where they go (default docs/pictures)")
    parser.add_argument(
        "--only", metavar="PAGE", action="append", choices=NAMES, help="draw this page alone; may be given again"
    )
    parser.add_argument(
        "--all", action="store_true", help=f"every page in the dark and on a phone, too, and not only {', '.join(FEW)}"
    )
    parser.add_argument("--relative-to", default=os.curdir, help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stderr.write("screenshots: needs chromium: apt-get install chromium\n")
        return _MISSING
    out = Path(given.out) if given.out == parser.get_default("out") else Path(given.relative_to, given.out)
    out.mkdir(parents=True, exist_ok=True)
    looks = dict.fromkeys(NAMES, tuple(Look)) if given.all else {}
    wanted = set(given.only or NAMES)
    try:
        with tempfile.TemporaryDirectory(prefix="screenshots-") as directory:
            drawn = asyncio.run(_draw(Path(directory), Path(chromium), out, wanted, looks))
    except (NotStarted, AssertionError) as error:
        sys.stderr.write(f"screenshots: {error}\n")
        return 1
    sys.stdout.write(f"{len(drawn)} files, {sum(path.stat().st_size for path in drawn):,} bytes in {out}\n")
    return 0


async def _draw(
    directory: Path, chromium: Path, out: Path, wanted: set[str], looks: dict[str, tuple[Look, ...]]
) -> list[Path]:
    with Installation(directory) as installation:
        async with Album(chromium, installation.dashboard, out, wanted, looks) as album:
            await play(installation, album)
            return album.drawn


if __name__ == "__main__":
    sys.exit(main())
