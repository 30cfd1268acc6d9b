"""A task type that says what it was given in every way there is."""

import logging
from typing import Any

from pointsman import task


@task(name="secretive.tell", bind=True, max_retries=0)
def tell(self: Any, text: str, how: str = "return", number: int = 0) -> dict[str, str]:
    """Returns ``text``, or raises it."""
    self.progress(1, 2, note=text)
    logging.getLogger("secretive").warning("it says %s", text)
    print(text)  # noqa: T201 - what a body prints is kept
    with self.once("told") as step:
        if step:
            step.result = text
    if how == "raise":
        raise ValueError(f"{text} at {number}")
    return {"said": text}
