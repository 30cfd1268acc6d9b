"""Sign a browser in with a key, and out again."""

from dataclasses import dataclass

from pointsman_service.access.token import digest_of, new_session
from pointsman_service.callers import Caller
from pointsman_service.store import api_keys, audit
from pointsman_service.store.api_keys import NewKey
from pointsman_service.store.audit import NewEntry
from pointsman_service.store.store import Connection, Store
from pointsman_service.telemetry import client_address, logger, request_id

log = logger(__name__)

MOST_SESSIONS = 100
"""Of whoever has one name. Each process knows all sessions: nobody fills it by signing in again and again."""


@dataclass(frozen=True, slots=True)
class Session:
    """One that was begun."""

    token: str
    """For a cookie. Nobody can read it again."""


class SessionHand:
    """Begins and ends sessions for one API process."""

    def __init__(self, store: Store, seconds: float) -> None:
        """``seconds``: so long a session lasts."""
        self._store = store
        self.seconds = seconds

    async def begin(self, caller: Caller) -> Session:
        """A session of the caller, who came with a key, and then it ends with that at the latest; or whom the issuer
        knows: then what they may stands in it, as it is now. Past ``MOST_SESSIONS`` their oldest one is over.
        """
        session_id, token = api_keys.new_id(), new_session()
        new = NewKey(
            digest=digest_of(token.encode()),
            first_shown="",
            last_shown="",
            name=caller.name,
            preset=None,
            scopes=sorted(caller.scopes or ()) if caller.key_id is None else (),
            task_types=None,
            queues=None,
            created_by=caller.name,
            expires_seconds=self.seconds,
            session_of=caller.key_id or session_id,
        )
        async with self._store.transaction() as connection:
            await api_keys.add(connection, session_id, new)
            await api_keys.revoke_oldest_sessions(connection, caller.name, MOST_SESSIONS)
            await _note(connection, "sign_in", caller, str(new.session_of))
        log.info("somebody signed in", caller=caller.name)
        return Session(token)

    async def end(self, caller: Caller, token: str) -> None:
        """The session is over; one that is over already stays so."""
        async with self._store.transaction() as connection:
            row = await api_keys.find_by_digest(connection, digest_of(token.encode()))
            if row is None or row.session_of is None or not await api_keys.revoke(connection, row.id, caller.name):
                return
            await _note(connection, "sign_out", caller, str(row.session_of))

    async def end_all(self, caller: Caller, name: str) -> int:
        """All sessions of whoever has this name are over; how many were not before."""
        async with self._store.transaction() as connection:
            ended = await api_keys.revoke_sessions(connection, name, caller.name)
            if ended:
                await _note(connection, "sign_out", caller, name)
        return ended


async def _note(connection: Connection, act: str, caller: Caller, subject: str) -> None:
    called = request_id.get()
    entry = NewEntry(
        act=act,
        subject=subject,
        actor=caller.name,
        caller=caller.name,
        address=client_address.get(),
        request_id=None if called is None else called.decode("ascii"),
    )
    await audit.add(connection, entry)
