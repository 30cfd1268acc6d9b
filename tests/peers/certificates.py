"""A certificate authority of a test and a certificate it signed."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests import needs


@dataclass(frozen=True)
class Certificate:
    """PEM files: who to trust, and what a server shows."""

    authority: Path
    chain: Path
    key: Path

    @classmethod
    def make(cls, directory: Path, host: str) -> Self:
        """A certificate for ``host`` alone, from an authority of its own."""
        directory.mkdir(parents=True, exist_ok=True)
        openssl = needs.program("openssl")
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        _run(
            directory, openssl, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=tests",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip
        _run(
            directory, openssl, "req", *key[:-2], "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={host}",
        )  # fmt: skip
        (directory / "names").write_text(f"subjectAltName=DNS:{host}\n")
        _run(
            directory, openssl, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.pem",
        )  # fmt: skip
        return cls(directory / "ca.pem", directory / "server.pem", directory / "server.key")


def _run(directory: Path, *words: str | Path) -> None:
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
