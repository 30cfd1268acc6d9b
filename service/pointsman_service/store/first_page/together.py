"""Several questions as one statement, and its answer as one document."""

from collections.abc import Mapping
from typing import Any


def together(questions: Mapping[str, str], **single: str) -> str:
    """A statement that answers several, each as JSON; of ``single`` ones their only value."""
    lists = (
        f"(SELECT coalesce(json_agg(q), '[]') FROM ({sql}) AS q)::text AS {name}" for name, sql in questions.items()
    )
    values = (f"coalesce(to_json({sql}), 'null')::text AS {name}" for name, sql in single.items())
    return "\nSELECT " + ",\n    ".join((*values, *lists)) + "\n"


def whole(row: Any) -> bytes:
    """The answers of a row as one document, by the names of the questions."""
    return b"{" + b",".join(f'"{name}":{answer}'.encode() for name, answer in row._mapping.items()) + b"}"
