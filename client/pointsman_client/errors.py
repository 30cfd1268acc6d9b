"""What can go wrong between here and an API."""


class ClientError(Exception):
    """The root of what this package raises. Its text is a sentence for people, and holds no key."""


class NoSuchPlace(ClientError):
    """The address cannot be used, or the key is none."""


class Unreachable(ClientError):
    """No whole answer came in time: nobody knows what became of the request."""


class Refused(ClientError):
    """The API answered, and not with what was asked for.

    ``status`` is that of HTTP, ``problem`` the last word of the problem's ``type``, empty for an answer that is none of
    ours, and ``retry_after_seconds`` what the answer asks for.
    """

    def __init__(self, text: str, *, status: int, problem: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds
