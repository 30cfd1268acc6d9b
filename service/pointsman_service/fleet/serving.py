"""Which queues have living workers of which surely none knows a task type: a task sent there would only come back.

Whatever is not sure says nothing, and tasks are sent as if nobody had looked: no node of the queue is known to live
(none does, or no reconciler writes down who does), one of them has not published its task types yet, or a node has
just published the type and nobody knows of which queues it is.
"""

from collections.abc import Iterable, Mapping

from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.workers import serving
from pointsman_service.store.workers.serving import LivingNode

_REFRESH_SECONDS = 1.0


class ServedTypes:
    """What is known at one moment. Without anything said of a queue everything may be sent there."""

    def __init__(self, nodes: Iterable[LivingNode] = (), published: Mapping[str, frozenset[str]] | None = None) -> None:
        self._types: dict[str, frozenset[str] | None] = {}
        self._nodes: dict[str, list[str]] = {}
        self._names: dict[str, list[tuple[str, frozenset[str]]]] = {}
        self._joining: frozenset[str] = frozenset()
        for node in nodes:
            names = None if published is None or node.published_at is None else published.get(node.owner, frozenset())
            if node.queues is None:
                self._joining |= names or frozenset()
                continue
            for queue in node.queues:
                self._nodes.setdefault(queue, []).append(node.name)
                self._names.setdefault(queue, []).append((node.name, names or frozenset()))
                known = self._types.get(queue, frozenset())
                self._types[queue] = None if known is None or names is None else known | names

    def is_unserved(self, queue: str, task_type: str) -> bool:
        """Whether living nodes take from the queue, and surely none of them knows the task type."""
        types = self._types.get(queue)
        return types is not None and task_type not in types and task_type not in self._joining

    def nodes_of(self, queue: str) -> list[str]:
        """The names of the nodes that take from a queue."""
        return sorted(set(self._nodes.get(queue, ())))

    def knowing(self, queue: str, task_type: str) -> list[str]:
        """The names of those of them that have published a task type."""
        return sorted({name for name, types in self._names.get(queue, ()) if task_type in types})


class ServingView:
    """``ServedTypes`` as one process knows them, looked at every second. While the database is away they stay."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._dead_seconds = settings.worker_dead_seconds
        self._looked_at: list[LivingNode] = []
        self.types = ServedTypes()
        self.loop = Loop("serving view", self.single_pass, _REFRESH_SECONDS)

    async def single_pass(self) -> bool:
        """Look who lives; what these have published is read only when it is others than before."""
        async with self._store.statement() as connection:
            nodes = await serving.living_nodes(connection, self._dead_seconds)
            if nodes != self._looked_at:
                owners = [node.owner for node in nodes if node.published_at is not None]
                published = await serving.published_types(connection, owners) if owners else {}
                self.types = ServedTypes(nodes, published)
                self._looked_at = nodes
        return False
