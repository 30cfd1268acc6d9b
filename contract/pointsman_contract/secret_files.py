"""Secrets in files: ``POINTSMAN_DATABASE_URL_FILE=/run/secrets/database_url`` instead of the secret itself.

Whoever may look at a process's environment, an engine's ``inspect`` or a crash report sees the file's name only.
"""

import os
from collections.abc import Collection
from pathlib import Path

from pointsman_contract.configuration import FILE_SUFFIX, PREFIX, BadConfiguration
from pointsman_contract.setting_names import SECRETS

_MOST_BYTES = 256 * 1024
"""Of a file: more is no secret, and may have no end."""


def secrets_of_files(names: Collection[str]) -> dict[str, str]:
    """What the files say that the environment names for these settings, without the line end at their end.

    Raises ``BadConfiguration`` with a line for each fault, which names variable and file and never what stands there.
    """
    variables = {name.upper(): name for name in os.environ}
    found, faults = {}, []
    for setting in (name for name in SECRETS if name in names):
        plain = variables.get(PREFIX + setting.upper())
        variable = variables.get(PREFIX + setting.upper() + FILE_SUFFIX)
        if variable is None or not os.environ[variable]:
            # Compose passes on as empty what nobody has set.
            continue
        try:
            if plain is not None:
                raise ValueError(f"{plain} is set, too: keep one of them")
            found[setting] = _read(os.environ[variable])
        except ValueError as error:
            faults.append(f"{variable}: {error}")
    if faults:
        raise BadConfiguration(*faults)
    return found


def _read(named: str) -> str:
    try:
        with Path(named).expanduser().open("rb") as stream:
            raw = stream.read(_MOST_BYTES + 1)
        text = raw.decode().rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{named} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{named} is not UTF-8 text") from None
    if len(raw) > _MOST_BYTES:
        raise ValueError(f"{named} is longer than {_MOST_BYTES} bytes")
    if not text.strip():
        raise ValueError(f"{named} is empty")
    return text
