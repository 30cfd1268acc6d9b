"""Which of the two terminals: with keys where the extra ``tui`` is installed, else the first page alone."""

from importlib.util import find_spec

from pointsman_client.place import Place
from pointsman_client.top.pen import Pen


def show(place: Place, pen: Pen) -> None:
    """Until somebody leaves it."""
    if find_spec("textual") is not None:
        from pointsman_client.top.app import Top

        Top(place, pen).run()
        return
    from rich.console import Console

    from pointsman_client.top.live import watch

    watch(place, Console(), pen)
