"""A task type as workers publish it and the control plane checks submissions against it."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pointsman_contract.dependencies import MOST, NAME_PATTERN, dependency_of_url, folded
from pointsman_contract.retry import RetryPolicy

MAX_NAME = 200
NAME_IN_PATH = r"^[^\x00-\x1f\x7f/]+(/[^\x00-\x1f\x7f/]+)*$"
"""What of a name can stand in the path of a URL; a slash in it makes it several segments."""
WORDS_AFTER_NAME = (
    "disable", "force-close", "force-open", "history", "outcomes", "permits", "policy", "probe", "reset",
)  # fmt: skip
"""What follows a name in the paths of its circuit breaker: no name with a slash may end so."""
_LONGEST_POINTER = 500
_CUT = "…"


class TaskTypeSpec(BaseModel):
    """One task type. The service knows a task by this alone and never imports its code."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1, max_length=MAX_NAME)
    description: str = ""
    queue: str | None = None
    """The type's own queue; None lets the priority decide."""
    priority: int | None = Field(default=None, ge=0, le=10)
    time_limit_seconds: float = Field(gt=0)
    soft_time_limit_seconds: float | None = Field(default=None, gt=0)
    retry: RetryPolicy = RetryPolicy()
    """How often a failed attempt is followed by another, and the default delay before it."""
    dependencies: tuple[Annotated[str, Field(pattern=NAME_PATTERN)], ...] = Field(default=(), max_length=MOST)
    """What every task of this type depends on."""
    url_argument: str | None = None
    """The argument that holds a URL: the host it leads to is a dependency too."""
    fail_fast: bool = False
    """While a circuit breaker would hold a task of this type, it fails at once instead."""
    positional: tuple[str, ...] = ()
    """Names of the parameters that positional arguments fill, in order."""
    positional_only: int = Field(default=0, ge=0)
    """How many of ``positional`` cannot be given by name."""
    extra_positional: bool = False
    """Whether more positional arguments than that are taken (``*args``)."""
    arguments_schema: dict[str, Any] = Field(default_factory=dict)
    """JSON Schema of the object of named arguments."""

    @field_validator("retry", mode="before")
    @classmethod
    def _what_we_know(cls, value: Any) -> Any:
        """A newer worker may publish more of a policy than this process understands."""
        if isinstance(value, dict):
            return {name: part for name, part in value.items() if name in RetryPolicy.model_fields}
        return value

    def content_hash(self) -> str:
        """Equal for equal specifications: what tells two versions of a worker apart."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any] | list[tuple[str, str]]:
        """The named arguments of a call, as Python would bind them, or a list of (JSON pointer, what is wrong)."""
        if not args:
            named = dict(kwargs)
        else:
            if len(args) > len(self.positional) and not self.extra_positional:
                most = len(self.positional)
                return [(f"/args/{most}", f"takes at most {most} positional arguments, {len(args)} given")]
            named = dict(zip(self.positional, args, strict=False))
            twice = named.keys() & kwargs.keys()
            if twice:
                return [(pointer("kwargs", name), "given by position and by name") for name in sorted(twice)]
            named.update(kwargs)
        for name in self.positional[: self.positional_only]:
            if name in kwargs:
                return [(pointer("kwargs", name), "can only be given by position")]
        return named

    def dependencies_of(self, args: Sequence[Any], kwargs: Mapping[str, Any], added: Sequence[str]) -> tuple[str, ...]:
        """What one task depends on: by its type, by its arguments, and what was added, each once."""
        if not self.dependencies and not added and self.url_argument is None:
            return ()
        found = tuple(map(folded, (*self.dependencies, *added)))
        if self.url_argument is not None:
            named = self.bind(args, kwargs)
            host = dependency_of_url(named.get(self.url_argument)) if isinstance(named, dict) else None
            found = found if host is None else (*found, host)
        return tuple(dict.fromkeys(found))

    def pointer(self, path: Sequence[str | int], given_by_position: int) -> str:
        """The JSON pointer into a submission of a path into the named arguments."""
        if not path:
            return "/kwargs"
        first, rest = path[0], path[1:]
        if first in self.positional[:given_by_position]:
            return pointer("args", self.positional.index(str(first)), *rest)
        return pointer("kwargs", first, *rest)


def address_fault(name: str) -> str | None:
    """Why the paths of the API could not lead to a task type of that name; None when they can."""
    parts = name.split("/")
    if re.fullmatch(NAME_IN_PATH, name) is None or not {"", ".", ".."}.isdisjoint(parts):
        return "no URL leads to its name: it has a part that is empty, a dot, two dots, or a control character"
    if len(parts) > 1 and parts[-1] in WORDS_AFTER_NAME:
        return f"no URL leads to its name: it ends in /{parts[-1]}, which asks for something else of a circuit breaker"
    return None


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901) of the parts. One of more than 500 characters is cut, and ends in ``…``."""
    found = ""
    for part in parts:
        # Cut before it is escaped: a key may be as long as a whole request.
        found += "/" + str(part)[: _LONGEST_POINTER + 1].replace("~", "~0").replace("/", "~1")
        if len(found) > _LONGEST_POINTER:
            return found[: _LONGEST_POINTER - 1] + _CUT
    return found
