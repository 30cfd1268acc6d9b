"""How Celery imports the modules of tasks here."""

from typing import Any

from celery.loaders.app import AppLoader


class Loader(AppLoader):
    """Celery's, for which a module that ends the process is one that cannot be imported."""

    def import_task_module(self, module: str) -> Any:
        """Raises ``ImportError`` when the module calls ``sys.exit()``: with status 0 a worker would be gone without a
        word, and look to whoever started it like one that was stopped.
        """
        try:
            return super().import_task_module(module)
        except SystemExit as error:
            raise ImportError(
                f"the module {module} ends the process that imports it by SystemExit({error.code!r}): is it a program?",
                name=module,
            ) from error
