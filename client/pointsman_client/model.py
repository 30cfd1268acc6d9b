"""What every document that an API answers with is here: its fields as attributes, with types."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pointsman_client.errors import NotTold

if TYPE_CHECKING:
    from pointsman_client.answer import Answer

Shape = Callable[[Any], Any]
"""Makes of JSON what an attribute is."""
M = TypeVar("M", bound="Model")
_HIDDEN = frozenset({"key", "secret", "token"})
"""Fields that no log shall get by way of a ``repr``."""


class Model:
    """A document. Its fields are attributes; ``raw`` has it as it came, with what a newer API has in it beyond that.

    ``answer`` is what it came with, where it is the whole of an answer. It is never changed: the next answer has the
    next state. A field that an older API does not tell raises ``NotTold``, which is an ``AttributeError``.
    """

    __slots__ = ("answer", "raw")
    _fields: ClassVar[tuple[str, ...]] = ()
    _optional: ClassVar[tuple[str, ...]] = ()
    """Fields that may be left out, and are None then."""
    _shapes: ClassVar[Mapping[str, Shape]] = {}
    """Of those fields that JSON says otherwise."""
    _named: ClassVar[Mapping[str, str]] = {}
    """What JSON calls a field whose name is a word of Python."""
    raw: Mapping[str, Any]
    answer: "Answer | None"

    def __init__(self, raw: Mapping[str, Any], answer: "Answer | None" = None) -> None:
        object.__setattr__(self, "raw", raw)
        object.__setattr__(self, "answer", answer)

    if not TYPE_CHECKING:  # a word that is no field shall be an error of the type checker

        def __getattr__(self, name: str) -> Any:
            optional = name in type(self)._optional
            if not optional and name not in type(self)._fields:
                raise AttributeError(f"{type(self).__name__} has no {name!r}")
            called = self._named.get(name, name)
            if not isinstance(self.raw, Mapping) or called not in self.raw:
                if optional:
                    return None
                raise NotTold(f"this API does not tell {called!r} of a {type(self).__name__}")
            value = self.raw[called]
            shape = self._shapes.get(name)
            try:
                return value if shape is None or value is None else shape(value)
            except (AttributeError, TypeError, ValueError):
                raise NotTold(f"{called!r} of a {type(self).__name__} is told in a way that is not known") from None

    def __setattr__(self, name: str, _: object) -> None:
        raise AttributeError(f"{name!r} cannot be set: this is what an API said")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(self.raw == other.raw)

    def __hash__(self) -> int:
        return hash((type(self), repr(self.raw)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.raw,)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._fields, *self._optional]

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={'…' if name in _HIDDEN else repr(value)}" for name, value in self.raw.items())
        return f"{type(self).__name__}({said})"


def moment(value: str) -> datetime:
    """A moment with its time zone."""
    return datetime.fromisoformat(value)


def each(shape: Shape) -> Shape:
    """A list of them."""
    return lambda values: [None if value is None else shape(value) for value in values]


def by_name(shape: Shape) -> Shape:
    """A dictionary of them."""
    return lambda values: {name: None if value is None else shape(value) for name, value in values.items()}


def one_of(*kinds: type[Model]) -> Shape:
    """Of the kinds whose fields the document has, that with the most; the document as it came, where none is."""

    def shape(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        fitting = [kind for kind in kinds if all(kind._named.get(name, name) in value for name in kind._fields)]
        return max(fitting, key=lambda kind: len(kind._fields))(value) if fitting else value

    return shape
