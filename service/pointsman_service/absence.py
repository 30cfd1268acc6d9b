"""Says in the log that a server cannot be used, in its own words and once, and once that it can again."""

from collections.abc import Collection

from pointsman_contract.server_words import server_words
from pointsman_service.telemetry import logger

log = logger(__name__)

_MOST = 20
"""Different words that are logged of one absence."""


class Absence:
    """Whether one server could be used when it was last tried. Of each absence every new thing it says is logged."""

    def __init__(self, server: str, secrets: Collection[str | None] = ()) -> None:
        self._server = server
        self._secrets = [secret for secret in secrets if secret]
        self._said: set[str] = set()

    def began(self, error: BaseException) -> str:
        """It could not be used; why, in its own words."""
        words = server_words(error, self._secrets)
        if words not in self._said and len(self._said) < _MOST:
            self._said.add(words)
            log.warning("a server cannot be used", server=self._server, reason=words)
        return words

    def ended(self) -> None:
        """It was used."""
        if self._said:
            self._said.clear()
            log.info("a server can be used again", server=self._server)
