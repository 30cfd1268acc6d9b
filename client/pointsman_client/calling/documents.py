"""Answers as documents."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pointsman_client.answer import Answer
from pointsman_client.errors import Refused
from pointsman_client.model import Model

M = TypeVar("M", bound=Model)


def document_of(answer: Answer) -> Mapping[str, Any]:
    """The JSON object that was answered. Raises ``Refused`` for anything else: what answers there is no Pointsman."""
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise Refused(
            "what answers there is no Pointsman: its answer is no JSON object",
            status=answer.status,
            request_id=answer.request_id,
        )
    return found


def model_of(kind: type[M], answer: Answer) -> M:
    """The document as that kind. Raises as ``document_of``."""
    return kind(document_of(answer), answer)
