"""The sender or the recipient of mail, as a setting names it."""

from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from typing import Annotated

from pydantic import AfterValidator


def _mailbox(text: str) -> str:
    name, address = parseaddr(text)
    try:
        Address(display_name=name, addr_spec=address)
    except (MessageError, ValueError, IndexError):
        address = ""
    if "@" not in address or not address.isascii() or not text.isprintable():
        raise ValueError("must be an address, such as Pointsman <noreply@example.org>")
    return text


Mailbox = Annotated[str, AfterValidator(_mailbox)]
"""``Pointsman <noreply@example.org>``, or the address alone; ASCII."""
