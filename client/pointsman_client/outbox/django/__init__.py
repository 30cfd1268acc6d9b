"""An outbox as an app of Django: ``"pointsman_client.outbox.django"`` among the ``INSTALLED_APPS``, and ``migrate``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pointsman_client.calling.saying import Saying
from pointsman_client.outbox.entry import Pending as Pending
from pointsman_client.outbox.entry import entry_of

if TYPE_CHECKING:
    from pointsman_client.outbox.django.models import OutboxRow


class Outbox(Saying):
    """Submissions in transactions of Django: what ``submit`` was given is committed with everything else, or not at
    all, and becomes one task once a relay (``manage.py pointsman_relay``) has seen it.

    ``using`` is the database, by its alias; without it the routers of the project say.
    """

    def __init__(self, using: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        self._using = using

    def _with(self, options: Mapping[str, Any]) -> Self:
        return type(self)(self._using, options)

    def submit(self, task_type: str, /, *args: Any, **kwargs: Any) -> Pending:
        """Submit a task with these arguments as a part of the transaction that is open. What else it says is said by
        ``with_options``.

        Raises ``TypeError`` and ``ValueError`` for what no submission can say, and Django's
        ``TransactionManagementError`` outside of ``atomic()``.
        """
        # Models cannot be imported before Django has loaded its apps, this one among them.
        from pointsman_client.outbox.django.writing import written

        return written(entry_of(task_type, args, kwargs, self._options), self._using)

    def find(self, key: str) -> "OutboxRow | None":
        """The newest row with this key, as long as it is kept; None: there is none."""
        from pointsman_client.outbox.django.writing import found

        return found(key, self._using)


outbox = Outbox()
"""That of the project's own database."""
submit = outbox.submit
with_options = outbox.with_options
find = outbox.find
