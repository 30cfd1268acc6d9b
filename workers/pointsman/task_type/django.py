"""Django beside this application, which may be made before anybody has named Django's settings.

Celery looks for ``DJANGO_SETTINGS_MODULE`` once, when an application is made. Ours is made when ``pointsman`` is
imported, and a project names its settings in the module that imports it.
"""

import importlib
import os
from collections.abc import Callable
from typing import Any

from celery.fixups.django import DjangoFixup, fixup

_VARIABLE = "DJANGO_SETTINGS_MODULE"


def catch_up(app: Any, *, imports_have_begun: bool) -> None:
    """Do for this application what Celery does for one that is made when Django's settings are named."""
    if not os.environ.get(_VARIABLE) or any(isinstance(one, DjangoFixup) for one in app._fixups):
        return
    app._fixups.append(fixup(app))
    if imports_have_begun:
        # Celery does it before it imports any module of tasks: by then nobody had named the settings.
        importlib.import_module("django").setup()


def on_commit(call: Callable[[], Any]) -> None:
    """Call when the transaction of Django's default database has committed, or at once outside of one."""
    importlib.import_module("django.db.transaction").on_commit(call)
