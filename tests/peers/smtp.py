"""A real mail server that keeps what it is given and refuses what the test says."""

import ssl
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Self, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from pointsman_service.embedded.ports import free_port


@dataclass
class SMTPPeer:
    """Listens on 127.0.0.1 while its context is open."""

    tls: ssl.SSLContext | None = None
    implicit: bool = False
    """TLS from the first byte instead of STARTTLS."""
    login: tuple[str, str] | None = None
    """The one user and password; None takes messages from anybody."""
    refusals: dict[str, str] = field(default_factory=dict)
    """Answers to these recipients."""
    data_answers: list[str] = field(default_factory=list)
    """Answers to the next messages; then they are taken."""
    hang_up: bool = False
    """Close the connection instead of answering a message."""
    received: list[Envelope] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.port = free_port()
        options: dict[str, Any] = {}
        if self.login is not None:
            # aiosmtpd does not know that a connection that began with TLS is encrypted.
            options |= {"authenticator": self._authenticate, "auth_require_tls": not self.implicit}
        if self.tls is not None and not self.implicit:
            options |= {"tls_context": self.tls, "require_starttls": True, "auth_required": True}
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            ssl_context=self.tls if self.implicit else None,
            server_hostname="mail.example",
            **options,
        )

    def messages(self) -> list[EmailMessage]:
        """What was taken, oldest first."""
        # Content is bytes, as decode_data is off.
        return [message_from_bytes(cast(bytes, one.content), policy=policy.default) for one in self.received]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        """Take a recipient or not."""
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a message or not."""
        if self.hang_up:
            server.transport.abort()
        if self.data_answers:
            return self.data_answers.pop(0)
        self.received.append(envelope)
        return "250 taken"

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login)
        assert self.login is not None
        user, password = self.login
        return AuthResult(success=(data.login, data.password) == (user.encode(), password.encode()), handled=False)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()
