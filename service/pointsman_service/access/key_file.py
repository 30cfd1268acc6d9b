"""A key in a file: drawn once, for whatever starts an installation by itself."""

import os
from contextlib import suppress
from pathlib import Path

from pointsman_service.access.token import is_token, new_token


def draw(path: Path) -> str:
    """The key that stands in the file; where there is none, one that opens nothing yet, readable by its owner alone.

    Raises ``ValueError`` in words, which never show what stands there.
    """
    if path.exists():
        return read(path)
    token = new_token()
    begun = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        begun.unlink(missing_ok=True)
        with os.fdopen(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
            stream.write(f"{token}\n")
            stream.flush()
            os.fsync(stream.fileno())
        # Whole or not at all, whoever dies meanwhile: a file without a key would keep every start from going on.
        os.link(begun, path)
    except FileExistsError:
        return read(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {type(error).__name__}") from None
    finally:
        # It is another name of the key's file, or what is left of one that was not finished.
        with suppress(OSError):
            begun.unlink()
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
