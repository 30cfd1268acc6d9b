"""What work costs this process, however long it waits for others."""

import time
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

Made = TypeVar("Made")


class Metered(Generic[Made]):
    """Await it once: it does ``work``, and ``seconds`` is the CPU time of its own steps; what tasks that it starts take
    is not in it.
    """

    def __init__(self, work: Coroutine[Any, Any, Made]) -> None:
        self._work = work
        self.seconds = 0.0

    def __await__(self) -> Generator[Any, Any, Made]:
        """As the work itself."""
        given: Any = None
        thrown: BaseException | None = None
        while True:
            began = time.thread_time()
            try:
                waits = self._work.send(given) if thrown is None else self._work.throw(thrown)
            except StopIteration as ended:
                made: Made = ended.value
                return made
            finally:
                self.seconds += time.thread_time() - began
            given = thrown = None
            try:
                given = yield waits
            except BaseException as error:  # it is the work's to hear, a cancel too
                thrown = error
