"""Where a process finds its settings, the same for every kind of process."""

import os
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from pointsman_contract.configuration import PREFIX, values_of_file
from pointsman_contract.secret_files import secrets_of_files


class SettingsBase(BaseModel):
    """Settings of a process: constructor arguments, then the environment, then the file of ``configuration``, then
    defaults. A setting comes whole from the first that names it. A secret may stand in a file that the environment
    names (``secret_files``).

    Making one raises ``pydantic.ValidationError`` naming every bad value, and ``BadConfiguration`` for a file that
    cannot be used.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True, hide_input_in_errors=True)

    def __init__(self, **given: Any) -> None:
        fields = type(self).model_fields
        named = _of_environment(type(self)) | secrets_of_files(fields.keys() - given.keys()) | given
        super().__init__(**values_of_file(fields, named), **named)

    @field_validator("*", mode="before")
    @classmethod
    def _no_empty_text(cls, value: object, info: ValidationInfo) -> object:
        # Of a secret it counts as unset. An empty address would be every address, an empty path the working directory.
        if isinstance(value, str) and not value.strip():
            field = cls.model_fields[str(info.field_name)]
            if field.default != "" and {str, Path} & {field.annotation, *get_args(field.annotation)}:
                raise ValueError("is empty: give it a value, or leave it out")
        return value


def _of_environment(kind: type[BaseModel]) -> dict[str, str]:
    """By the names of the settings. The case of a variable's name does not matter."""
    variables = {name.lower(): value for name, value in os.environ.items()}
    named = ((field, variables.get(PREFIX.lower() + field)) for field in kind.model_fields)
    return {field: value for field, value in named if value is not None}
