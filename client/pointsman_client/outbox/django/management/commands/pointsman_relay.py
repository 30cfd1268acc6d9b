"""``manage.py pointsman_relay``."""

import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import router

from pointsman_client.errors import ClientError
from pointsman_client.outbox.command import done
from pointsman_client.outbox.django.models import OutboxRow
from pointsman_client.outbox.django.rows import DjangoRows
from pointsman_client.outbox.words import add_words, fault_of
from pointsman_client.shown import shown
from pointsman_client.sync.client import Client


class Command(BaseCommand):
    """Submits what the outbox of a project holds, until it is stopped."""

    help = "Submit what the outbox holds to Pointsman, until it is stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Those of every relay."""
        add_words(parser)
        parser.add_argument("--url", help="where the API is, in place of POINTSMAN_URL; its key is POINTSMAN_API_KEY")
        parser.add_argument("--database", help="the alias of the one that has the outbox")

    def handle(self, *_: Any, **options: Any) -> None:
        """Do what the words say."""
        given = Namespace(**options)
        if (fault := fault_of(given)) is not None:
            raise CommandError(fault, returncode=64)
        try:
            with Client(given.url) as client:
                rows = DjangoRows(given.database or router.db_for_write(OutboxRow))
                status = done(given, rows, client, lambda text: self.stdout.write(shown(text, False)))
        except (ClientError, ValueError) as error:
            raise CommandError(str(error), returncode=64) from None
        if status:
            sys.exit(status)
