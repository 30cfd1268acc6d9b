"""A settings class from outside: where each value came from, how it is shown without secrets, what is wrong with it.

Works on any class whose fields are read from ``POINTSMAN_*`` variables and the file of ``configuration``.
"""

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from inspect import get_annotations
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import BaseModel, SecretStr, ValidationError

from pointsman_contract.configuration import FILE_SUFFIX, PREFIX, BadConfiguration, ConfigurationFile, read_file
from pointsman_contract.setting_names import SECRETS

Kind = TypeVar("Kind", bound=BaseModel)

MASK = "***"
_SETTING = re.compile(r"[a-z]+(?:_[a-z]+)+")
"""In a sentence about several; one of a single word would be any word."""
_SECRET_WORDS = ("pass", "secret", "token", "key", "auth")


class Source(StrEnum):
    """What named a value; the first that does wins."""

    ARGUMENT = "argument"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value came from."""

    source: Source
    name: str = ""
    """Of the option, the variable, or the key in the file."""
    file: str = ""

    def __str__(self) -> str:
        """For people: ``default``, ``POINTSMAN_PORT``, ``pointsman.toml: port``."""
        if self.source is Source.DEFAULT:
            return "default"
        return f"{self.file}: {self.name}" if self.file else self.name


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as it is shown."""

    name: str
    value: Any
    """Plain JSON values, secrets masked."""
    origin: Origin
    group: str = ""
    """What it is about, beside others."""

    @property
    def text(self) -> str:
        """The value for people: text as it is, nothing as a dash, the rest as JSON."""
        if self.value is None:
            return "-"
        return self.value if isinstance(self.value, str) else json.dumps(self.value, ensure_ascii=False)


def read_settings(kind: type[Kind], **given: Any) -> Kind:
    """The settings of ``kind``. Raises ``BadConfiguration`` with a line for each fault."""
    try:
        return kind(**given)
    except ValidationError as error:
        raise BadConfiguration(*faults(error, kind, given, read_file())) from None


def rows(settings: BaseModel, file: ConfigurationFile | None, given: Collection[str] = ()) -> list[Row]:
    """Every setting in the order of its class."""
    plain = settings.model_dump(mode="json")
    return [
        Row(name, _masked(name, getattr(settings, name), plain[name]), origin(name, file, given), group)
        for group, names in groups(type(settings)).items()
        for name in names
    ]


def groups(kind: type[BaseModel]) -> dict[str, list[str]]:
    """The names of settings in their order, by the title of the class that declares them (``model_config``)."""
    titles: dict[str, str] = {}
    for made_of in reversed(kind.__mro__):
        title = getattr(made_of, "model_config", {}).get("title") or made_of.__name__
        titles |= dict.fromkeys(get_annotations(made_of), title)
    found: dict[str, list[str]] = {}
    for name in kind.model_fields:
        found.setdefault(titles[name], []).append(name)
    return found


def origin(name: str, file: ConfigurationFile | None, given: Collection[str] = ()) -> Origin:
    """What named the setting's value."""
    if name in given:
        return Origin(Source.ARGUMENT, "--" + name.replace("_", "-"))
    variable = PREFIX + name.upper()
    given_variables = {variable.upper(): value for variable, value in os.environ.items()}
    if variable in given_variables:
        return Origin(Source.ENVIRONMENT, variable)
    if name in SECRETS and given_variables.get(variable + FILE_SUFFIX):
        return Origin(Source.ENVIRONMENT, variable + FILE_SUFFIX)
    if file is not None and name in file.entries:
        return Origin(Source.FILE, file.entries[name].key, file.source)
    return Origin(Source.DEFAULT)


def faults(
    error: ValidationError, kind: type[BaseModel], given: Mapping[str, Any], file: ConfigurationFile | None
) -> Iterator[str]:
    """One line a fault, naming where the value came from and never the value."""
    for fault in error.errors(include_url=False, include_input=False):
        path = fault["loc"]
        what = fault["msg"]
        if fault["type"] in ("value_error", "assertion_error"):
            what = str(fault.get("ctx", {}).get("error", what))
        elif fault["type"] == "extra_forbidden":
            what = "there is no such key" + _keys_of(kind, path)
        if not path:
            yield _SETTING.sub(lambda named: _named(named[0], kind, file, given), what)
            continue
        name = _named(str(path[0]), kind, file, given)
        yield f"{name}{''.join(_step(part) for part in path[1:])}: {what}"


def _named(name: str, kind: type[BaseModel], file: ConfigurationFile | None, given: Mapping[str, Any]) -> str:
    """A setting by the variable, option or key that gave its value; anything else as it is."""
    found = origin(name, file, given) if name in kind.model_fields else Origin(Source.DEFAULT)
    return name if found.source is Source.DEFAULT else str(found)


def _step(part: int | str) -> str:
    return f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part!r}]"


def _keys_of(kind: type[BaseModel], path: tuple[int | str, ...]) -> str:
    field = kind.model_fields.get(str(path[0]))
    model = None if field is None else field.annotation
    if len(path) == 2 and isinstance(model, type) and issubclass(model, BaseModel):
        return f"; the keys are {', '.join(model.model_fields)}"
    return ""


def _masked(name: str, value: Any, plain: Any) -> Any:
    if not isinstance(value, SecretStr):
        return plain
    return masked_url(value.get_secret_value()) if name.endswith("url") else MASK


def masked_url(text: str) -> str:
    """A URL with its password masked and its host kept; anything else is masked whole."""
    try:
        parts = urlsplit(text)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return MASK
    # A password with a bare / ? or # ends the host early for the parser: nothing of such a text is safe to show.
    if f"{parts.scheme}://" not in text or "@" in parts.path + parts.query + parts.fragment or parts.fragment:
        return MASK
    account, at, host = parts.netloc.rpartition("@")
    user, colon, _ = account.partition(":")
    shown = [(name, MASK if any(word in name.lower() for word in _SECRET_WORDS) else value) for name, value in query]
    rest = f"{parts.path}?{urlencode(shown, safe='*/')}" if shown else parts.path
    return f"{parts.scheme}://{user}{colon}{MASK if colon else ''}{at}{host}{rest}"
