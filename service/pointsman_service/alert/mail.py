"""A message as an e-mail."""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any

import aiosmtplib

from pointsman_service.alert.delivering import Delivered, NotDelivered
from pointsman_service.alert.wording import subject_line, text_of
from pointsman_service.channel_settings import EmailChannel

# Python folds a long subject before its first word, which some clients show as a space.
_POLICY = SMTP.clone(max_line_length=900)
_PORTS = {"starttls": 587, "implicit": 465, "none": 25}


async def deliver(
    channel: EmailChannel, message_id: str, created_at: datetime, message: Mapping[str, Any]
) -> Delivered:
    """One attempt, ended after the channel's time limit. Raises ``NotDelivered``.

    Every attempt carries the same Message-ID. A server that takes it for some recipients has it.
    """
    mail = compose(channel, message_id, created_at, message)
    recipients = [parseaddr(address)[1] for address in channel.to]
    try:
        async with asyncio.timeout(channel.timeout_seconds):
            refused = await _send(channel, recipients, mail)
    except TimeoutError:
        raise NotDelivered("timeout", f"the mail server did not answer within {channel.timeout_seconds:g} s") from None
    except aiosmtplib.SMTPRecipientsRefused as error:
        words = "; ".join(f"{one.recipient}: {one.code} {one.message}" for one in error.recipients)
        raise NotDelivered(f"SMTP {error.recipients[0].code}", f"taken for nobody: {words}") from None
    except aiosmtplib.SMTPResponseException as error:
        raise NotDelivered(f"SMTP {error.code}", f"the mail server answered {error.code} {error.message}") from None
    except (aiosmtplib.SMTPException, ssl.SSLError, OSError) as error:
        raise NotDelivered(type(error).__name__, str(error) or type(error).__name__) from None
    note = "; ".join(f"not taken for {who}: {why.code} {why.message}" for who, why in refused.items())
    return Delivered(f"taken for {len(recipients) - len(refused)}", note[:300] or None)


def compose(channel: EmailChannel, message_id: str, created_at: datetime, message: Mapping[str, Any]) -> EmailMessage:
    """The mail."""
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = channel.sender
    mail["To"] = ", ".join(channel.to)
    # A summary may hold a name that somebody chose.
    mail["Subject"] = " ".join(subject_line(message).split())[:200]
    mail["Date"] = format_datetime(created_at)
    mail["Message-ID"] = f"<{message_id}@{parseaddr(channel.sender)[1].rpartition('@')[2]}>"
    # RFC 3834: no vacation notice answers this.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text_of(message) + "\n")
    return mail


async def _send(channel: EmailChannel, recipients: list[str], mail: EmailMessage) -> dict[str, aiosmtplib.SMTPResponse]:
    server = aiosmtplib.SMTP(
        hostname=channel.host,
        port=channel.port or _PORTS[channel.tls],
        username=channel.user,
        password=None if channel.password is None else channel.password.get_secret_value(),
        timeout=channel.timeout_seconds,
        use_tls=channel.tls == "implicit",
        start_tls=channel.tls == "starttls",
        tls_context=None if channel.tls == "none" else ssl.create_default_context(cafile=channel.ca_file),
    )
    try:
        await server.connect()
        refused, _ = await server.sendmail(parseaddr(channel.sender)[1], recipients, mail.as_bytes())
        # The server has the message: that it does not part politely must not send it again.
        with suppress(aiosmtplib.SMTPException, OSError):
            await server.quit()
    finally:
        server.close()
    return refused
