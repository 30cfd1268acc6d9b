"""A key in a file: drawn once, for whatever starts an installation by itself."""

import os
from pathlib import Path

from pointsman_service.access.token import is_token, new_token


def draw(path: Path) -> str:
    """The key that stands in the file; where there is none, one that opens nothing yet, readable by its owner alone.

    Raises ``ValueError`` in words, which never show what stands there.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {type(error).__name__}") from None
    token = new_token()
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(f"{token}\n")
    return token


def draw_another(path: Path) -> str:
    """``draw``, in the place of the key that stands there."""
    path.unlink()
    return draw(path)


def read(path: Path) -> str:
    """The key that stands in the file. Raises ``ValueError`` in words, which never show what stands there."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}") from None
    if not is_token(token.encode()):
        raise ValueError(f"{path} holds no key: python -m pointsman_service keys draw makes one")
    return token
