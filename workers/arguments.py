"""The parameters of a task's body: their JSON Schema, and the values a body gets for JSON arguments."""

import inspect
import json
import logging
import types
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from workers.errors import ArgumentsNotValid

logger = logging.getLogger(__name__)

_PLAIN = (str, int, float, bool, type(None), list, dict, Any, object, inspect.Parameter.empty)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_ONLY)


class _Schema(GenerateJsonSchema):
    """Without generated titles, which say nothing that the name does not."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's name
        return False


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a body takes."""

    positional: tuple[str, ...]
    positional_only: int
    extra_positional: bool
    schema: dict[str, Any]
    """JSON Schema 2020-12 of the object of named arguments."""
    _model: type[BaseModel] | None = field(default=None, repr=False)
    """Builds the values whose type hints are not plain JSON; None when all are."""

    @classmethod
    def of(cls, task: Any) -> "Arguments":
        """Read from the signature and type hints of the task's body; a parameter without a hint takes anything."""
        signature = inspect.signature(task.run)
        hints = _hints(task.run)
        parameters = list(signature.parameters.values())
        named = [parameter for parameter in parameters if parameter.kind in _NAMED]
        extra_named = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
        fields: dict[str, Any] = {}
        plain = True
        for number, parameter in enumerate(named):
            hint = hints.get(parameter.name, Any)
            if not _has_schema(hint):
                logger.warning("%s: parameter %s has no JSON Schema and takes anything", task.name, parameter.name)
                hint = Any
            plain = plain and _is_plain(hint)
            fields[f"p{number}"] = (hint, _field(parameter))
        model = create_model(
            "Arguments",
            __config__=ConfigDict(extra="allow" if extra_named else "forbid", arbitrary_types_allowed=True),
            **fields,
        )
        schema = model.model_json_schema(schema_generator=_Schema, mode="validation")
        schema.pop("title", None)
        schema.setdefault("properties", {})
        schema["additionalProperties"] = extra_named
        # A task declared with Celery's own pydantic=True builds its models itself.
        builds_itself = getattr(task, "_dump_pydantic_arguments", None) is not None
        by_position = [parameter for parameter in named if parameter.kind is not inspect.Parameter.KEYWORD_ONLY]
        return cls(
            positional=tuple(parameter.name for parameter in by_position),
            positional_only=sum(parameter.kind is inspect.Parameter.POSITIONAL_ONLY for parameter in by_position),
            extra_positional=any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters),
            schema=schema,
            _model=None if plain or builds_itself else model,
        )

    def construct(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The arguments with the values their type hints ask for, models built from objects.

        Raises ``ArgumentsNotValid`` when they do not fit.
        """
        if self._model is None:
            return args, kwargs
        taken = self.positional[: len(args)]
        named = dict(zip(taken, args, strict=False)) | kwargs
        try:
            built = self._model.model_validate(named)
        except ValidationError as error:
            raise ArgumentsNotValid(str(error)) from None
        values = {
            info.alias: getattr(built, name)
            for name, info in self._model.model_fields.items()
            if name in built.model_fields_set
        }
        return (
            [*(values[name] for name in taken), *args[len(taken) :]],
            {name: values.get(name, value) for name, value in kwargs.items()},
        )


def _field(parameter: inspect.Parameter) -> Any:
    if parameter.default is inspect.Parameter.empty:
        return Field(alias=parameter.name)
    default = parameter.default
    try:
        json.dumps(default)
    except (TypeError, ValueError):
        return Field(alias=parameter.name, default_factory=lambda: default)
    return Field(alias=parameter.name, default=default)


def _hints(body: Callable[..., Any]) -> dict[str, Any]:
    function = inspect.unwrap(getattr(body, "__func__", body))
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:
        logger.warning("the type hints of %s cannot be read, its arguments take anything: %s", function, error)
        return {}


def _has_schema(hint: Any) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            TypeAdapter(hint).json_schema()
        except (PydanticUserError, TypeError, ValueError, NameError):
            return False
    return True


def _is_plain(hint: Any) -> bool:
    """Whether JSON's own values are what the hint asks for."""
    origin = get_origin(hint)
    if origin is None:
        return hint in _PLAIN or typing.is_typeddict(hint)
    if origin is Literal:
        return True
    if origin in (list, dict, Union, types.UnionType):
        return all(_is_plain(part) for part in get_args(hint))
    return False
