"""The relay of an outbox that SQLAlchemy reaches."""

import logging
import os
import sys
from argparse import Namespace
from pathlib import Path

from pointsman_client.commands.exits import Exit
from pointsman_client.commands.voice import Voice
from pointsman_client.errors import NoSuchPlace
from pointsman_client.outbox.command import done
from pointsman_client.sync.client import Client

DATABASE_URL = "POINTSMAN_OUTBOX_DATABASE_URL"


def relay(client: Client, given: Namespace, voice: Voice) -> Exit:
    """Relay until it is stopped, or look after refused rows."""
    from pointsman_client.outbox.sqlalchemy import rows_at

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with rows_at(_url(given), given.table, given.schema) as rows:
            return Exit(done(given, rows, client, voice.line))
    except ValueError as error:
        voice.complain(str(error))
        return Exit.USAGE


def _url(given: Namespace) -> str:
    try:
        found = (
            Path(given.database_url_file).read_text("utf-8")
            if given.database_url_file
            else os.environ.get(DATABASE_URL)
        )
    except OSError as error:
        raise NoSuchPlace(f"{given.database_url_file} cannot be read: {error.strerror}") from None
    if not found or not found.strip():
        raise NoSuchPlace(f"the database of the outbox is not named: --database-url-file FILE, or {DATABASE_URL}")
    return found.strip()
