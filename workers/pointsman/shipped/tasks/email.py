"""Email over SMTP."""

import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Annotated, Any, TypedDict
from uuid import uuid4

from pydantic import Field

from pointsman.app import app
from pointsman.bases import EmailTask
from pointsman.errors import PermanentError, RefusedByDependency
from pointsman.settings import Settings, settings
from pointsman.shipped.moments import Moment

_PORTS = {"starttls": 587, "implicit": 465, "none": 25}
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = rf"^[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})*$"

EmailAddress = Annotated[str, Field(pattern=_ADDRESS, max_length=254)]
"""What HTML's ``<input type=email>`` takes; a domain in other letters in its ``xn--`` form."""
Recipients = Annotated[list[EmailAddress], Field(min_length=1, max_length=50)]
Line = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]


class MailNotConfigured(PermanentError):
    """A setting of the mail server is missing, or the server cannot do what a setting asks."""


class MailRefused(RefusedByDependency):
    """The mail server refused the message for good (5xx)."""


class MailDeferred(Exception):
    """The mail server refused the message for now (4xx)."""


class Sent(TypedDict):
    """What ``send_reminder_email`` returns."""

    message_id: str
    accepted: int
    """Recipients the server took the message for."""
    refused: dict[str, str]
    """What the server said of each other recipient."""


@app.task(name="send_reminder_email", base=EmailTask, bind=True, dependencies=("smtp",))
def send_reminder_email(
    self: Any,
    to: EmailAddress | Recipients,
    subject: Line,
    message: Annotated[str, Field(min_length=1, max_length=100_000)],
    html: Annotated[str, Field(min_length=1, max_length=100_000)] | None = None,
    due_at: Moment | None = None,
    cc: Recipients | None = None,
    reply_to: EmailAddress | None = None,
) -> Sent:
    """Sends one reminder by email, as text and, when given, as HTML.

    What the server refuses with 5xx is permanent, what it refuses with 4xx is retried, and so is a server that is
    away. When it takes the message for some recipients only, the others are named in the result. Every attempt carries
    the same Message-ID, made of the task's id.
    """
    ours = settings()
    if ours.smtp_host is None or ours.smtp_sender is None:
        raise MailNotConfigured("set POINTSMAN_SMTP_HOST and POINTSMAN_SMTP_SENDER for the workers")
    recipients = [to] if isinstance(to, str) else to
    copies = cc or []
    try:
        mail = _compose(ours.smtp_sender, recipients, copies, reply_to, subject)
    except ValueError as error:
        raise PermanentError(f"the message cannot be written: {error}") from None
    sender = parseaddr(ours.smtp_sender)[1]
    mail["Message-ID"] = f"<{self.request.id or uuid4()}@{sender.rpartition('@')[2]}>"
    due = "" if due_at is None else f"\n\nDue: {due_at.strftime('%A, %d %B %Y, %H:%M %Z')}"
    mail.set_content(message + due + "\n")
    if html is not None:
        mail.add_alternative(html, subtype="html")
    everybody = list(dict.fromkeys([*recipients, *copies]))
    with self.calling("smtp"):
        refused = _send(ours, ours.smtp_host, sender, everybody, mail)
    return {"message_id": mail["Message-ID"], "accepted": len(everybody) - len(refused), "refused": refused}


def _compose(sender: str, to: Sequence[str], cc: Sequence[str], reply_to: str | None, subject: str) -> EmailMessage:
    """The message without its content. Raises ``ValueError`` for a header that would be two."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    if cc:
        mail["Cc"] = ", ".join(cc)
    if reply_to:
        mail["Reply-To"] = reply_to
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.now(UTC))
    # RFC 3834: no vacation notice answers this.
    mail["Auto-Submitted"] = "auto-generated"
    return mail


def _send(ours: Settings, host: str, sender: str, recipients: Sequence[str], mail: EmailMessage) -> dict[str, str]:
    """What was said of each recipient the server did not take the message for."""
    try:
        server = _connected(ours, host)
        try:
            # Not send_message(), which writes >From for From at the start of a line.
            answers = server.sendmail(sender, recipients, mail.as_bytes())
        except BaseException:
            server.close()
            raise
    except smtplib.SMTPRecipientsRefused as error:
        words = "; ".join(f"{who}: {why}" for who, why in _words(error.recipients).items())
        kind = MailDeferred if any(code < 500 for code, _ in error.recipients.values()) else MailRefused
        raise kind(f"{host} took the message for nobody: {words}") from None
    except smtplib.SMTPResponseException as error:
        kind = MailRefused if 500 <= error.smtp_code <= 599 else MailDeferred
        raise kind(f"{host}: {error.smtp_code} {_text(error.smtp_error)}") from None
    except smtplib.SMTPServerDisconnected:
        raise
    except smtplib.SMTPException as error:
        raise MailNotConfigured(f"{host}: {error}") from None
    # The server has the message: that it does not part politely must not send it again.
    with suppress(OSError):
        server.quit()
    server.close()
    return _words(answers)


def _connected(ours: Settings, host: str) -> smtplib.SMTP:
    port = ours.smtp_port or _PORTS[ours.smtp_tls]
    seconds = ours.smtp_timeout_seconds
    context = ssl.create_default_context(cafile=ours.smtp_ca_file)
    if ours.smtp_tls == "implicit":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=seconds, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=seconds)
    try:
        if ours.smtp_tls == "starttls":
            server.starttls(context=context)
        if ours.smtp_user is not None and ours.smtp_password is not None:
            server.login(ours.smtp_user, ours.smtp_password.get_secret_value())
    except BaseException:
        server.close()
        raise
    return server


def _words(answers: dict[str, tuple[int, bytes]]) -> dict[str, str]:
    return {who: f"{code} {_text(said)}" for who, (code, said) in answers.items()}


def _text(said: bytes | str) -> str:
    return (said.decode(errors="replace") if isinstance(said, bytes) else said)[:500]
