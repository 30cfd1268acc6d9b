"""Circuit breakers, and calls of one's own that they guard."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pointsman_client.aio.operations import BreakersOperations
from pointsman_client.calling.call import Call, body, segment
from pointsman_client.calling.documents import model_of
from pointsman_client.calling.outcomes import outcome_of
from pointsman_client.errors import CallNotAllowed, ClientError
from pointsman_client.models import Permit, Scope
from pointsman_client.pausing import async_to_the_end

_log = logging.getLogger(__name__)


class Breakers(BreakersOperations):
    """``client.breakers``: a guard for calls of one's own, and every operation of circuit breakers."""

    @asynccontextmanager
    async def guard(
        self,
        name: str,
        *,
        scope: Scope = "dependency",
        ignored: type[Exception] | tuple[type[Exception], ...] = (),
        seconds: float = 2.0,
    ) -> AsyncIterator[None]:
        """A block that calls ``name``, such as ``api.bank.example``: it is entered where its circuit breaker allows
        that, and how it ended is reported there, so that tasks and everybody else who calls it know. An exception is a
        failure, unless it is ``ignored``; nothing but its class is told.

        Raises ``CallNotAllowed`` where the breaker is open. A Pointsman that does not answer within ``seconds`` guards
        nothing, and stops nobody: that is logged.
        """
        permit = await self._permit(name, scope, seconds)
        if permit is not None and not permit.granted:
            raise CallNotAllowed(f"the circuit breaker of {name} is {permit.state}", permit.retry_at)
        began, failed = time.monotonic(), None
        try:
            yield
        except BaseException as error:
            failed = error
            raise
        finally:
            outcome = outcome_of(failed, ignored, time.monotonic() - began, permit)
            path = f"/v1/breakers/{segment(scope)}/{segment(name)}/outcomes"
            call = Call("report_outcomes", "POST", path, body=body(outcomes=[outcome]))
            with async_to_the_end():
                try:
                    await self._client.ask(call, seconds=seconds)
                except ClientError as error:
                    _log.warning("the outcome of a call to %s could not be reported: %s", name, error)

    async def _permit(self, name: str, scope: Scope, seconds: float) -> Permit | None:
        call = Call("ask_for_permit", "POST", f"/v1/breakers/{segment(scope)}/{segment(name)}/permits")
        try:
            return model_of(Permit, await self._client.ask(call, seconds=seconds))
        except ClientError as error:
            _log.warning("a call to %s is not guarded: %s", name, error)
            return None
