"""The parameters of a task's body: their JSON Schema, and the values a body gets for JSON arguments."""

import inspect
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError

from pointsman.errors import ArgumentsNotValid
from pointsman.task_type.arguments_schema import ArgumentsSchema
from pointsman.task_type.plain_hints import Convert, is_plain, whole_numbers
from pointsman.task_type.shape import shape_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a body takes."""

    positional: tuple[str, ...]
    positional_only: int
    extra_positional: bool
    schema: dict[str, Any]
    """JSON Schema 2020-12 of the object of named arguments."""
    takes_anything: bool = False
    """Whether the task said that its arguments are not to be checked."""
    _model: type[BaseModel] | None = field(default=None, repr=False)
    """Builds the values whose type hints are not plain JSON; None when all are."""
    _whole: Mapping[str, Convert] = field(default_factory=dict, repr=False)
    """What makes 2.0 the 2 that the hint asks for, by name."""
    _wrapped: inspect.Signature | None = field(default=None, repr=False)
    """Of the function behind decorators that take anything: what a position means there nobody can say for sure."""

    @classmethod
    def of(cls, task: Any) -> "Arguments":
        """Read from the signature and type hints of the task's body; a parameter without a hint takes anything.

        With ``typing=False`` all of them do, as in Celery.
        """
        if getattr(task, "typing", None) is False:
            anything = {"type": "object", "properties": {}, "additionalProperties": True}
            return cls((), 0, True, anything, takes_anything=True)
        # A task declared with Celery's own pydantic=True builds its models itself.
        builds_itself = getattr(task, "_dump_pydantic_arguments", None) is not None
        shape = shape_of(getattr(task, "_orig_run", task.run), skip=int(builds_itself))
        fields: dict[str, Any] = {}
        plain = True
        whole = {}
        for number, parameter in enumerate(shape.named):
            hint = shape.hints.get(parameter.name, Any)
            if not _has_schema(hint):
                logger.warning("%s: parameter %s has no JSON Schema and takes anything", task.name, parameter.name)
                hint = Any
            plain = plain and is_plain(hint)
            convert = whole_numbers(hint)
            if convert is not None:
                whole[parameter.name] = convert
            fields[f"p{number}"] = (hint, _field(parameter, optional=parameter.name in shape.optional))
        model = create_model(
            "Arguments",
            __config__=ConfigDict(extra="allow" if shape.extra_named else "forbid", arbitrary_types_allowed=True),
            **fields,
        )
        schema = model.model_json_schema(schema_generator=ArgumentsSchema, mode="validation")
        schema.pop("title", None)
        schema.setdefault("properties", {})
        schema["additionalProperties"] = shape.extra_named
        by_position = [
            parameter
            for parameter in shape.named
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY and parameter.name not in shape.optional
        ]
        return cls(
            positional=tuple(parameter.name for parameter in by_position),
            positional_only=sum(parameter.kind is inspect.Parameter.POSITIONAL_ONLY for parameter in by_position),
            extra_positional=shape.extra_positional,
            schema=schema,
            _model=None if plain or builds_itself else model,
            _whole=whole,
            _wrapped=shape.wrapped,
        )

    def construct(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The arguments with the values their type hints ask for, models built from objects.

        Raises ``ArgumentsNotValid`` when they do not fit.
        """
        if self._whole:
            args, kwargs = self._with_whole_numbers(args, kwargs)
        if self._model is None:
            return args, kwargs
        if self._wrapped is not None and args and not self.positional:
            try:
                return self._build(tuple(self._wrapped.bind(*args, **kwargs).arguments), args, kwargs)
            except (TypeError, ArgumentsNotValid) as error:
                # A decorator hands on other arguments than it gets: what stands where is its own affair.
                logger.debug("arguments given by position are not built: %s", error)
        return self._build(self.positional, args, kwargs)

    def _build(
        self, names: Sequence[str], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        assert self._model is not None
        taken = names[: len(args)]
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
            [*(values.get(name, named[name]) for name in taken), *args[len(taken) :]],
            {name: values.get(name, value) for name, value in kwargs.items()},
        )

    def _with_whole_numbers(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for number, (name, value) in enumerate(zip(self.positional, args, strict=False)):
            convert = self._whole.get(name)
            if convert is not None and (converted := convert(value)) is not value:
                args = (*args[:number], converted, *args[number + 1 :])
        for name, value in kwargs.items():
            convert = self._whole.get(name)
            if convert is not None and (converted := convert(value)) is not value:
                kwargs = {**kwargs, name: converted}
        return args, kwargs


def arguments_of(task: Any) -> Arguments:
    """What the body of a task takes, found once."""
    found: Arguments | None = vars(task).get(_FOUND)
    if found is None:
        found = Arguments.of(task)
        setattr(task, _FOUND, found)
    return found


_FOUND = "_pointsman_arguments"
"""On the task itself, under a name that no task has for its own."""


def _field(parameter: inspect.Parameter, *, optional: bool) -> Any:
    if optional:
        return Field(alias=parameter.name, default_factory=lambda: None)
    if parameter.default is inspect.Parameter.empty:
        return Field(alias=parameter.name)
    default = parameter.default
    try:
        json.dumps(default)
    except (TypeError, ValueError):
        return Field(alias=parameter.name, default_factory=lambda: default)
    return Field(alias=parameter.name, default=default)


def _has_schema(hint: Any) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            TypeAdapter(hint).json_schema()
        except (PydanticUserError, TypeError, ValueError, NameError):
            return False
    return True
