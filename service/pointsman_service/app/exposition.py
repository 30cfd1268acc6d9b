"""Who renews what ``/metrics`` tells."""

from collections.abc import Sequence

from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.alert.kinds import KINDS
from pointsman_service.observe.exposition_keeper import ExpositionKeeper, Vocabulary
from pointsman_service.observe.views import Views
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store


def make_keeper(settings: Settings, store: Store, catalogue: Catalogue, views: Views) -> ExpositionKeeper:
    """One that knows every task type of the catalogue and every rule of alerts."""

    async def kinds() -> Sequence[tuple[str, str]]:
        await catalogue.refresh()
        return catalogue.places(settings)

    rules = [(str(rule), str(kind.severity)) for rule, kind in KINDS.items()]
    return ExpositionKeeper(store, settings, views, Vocabulary(kinds, rules))
