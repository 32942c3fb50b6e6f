"""What all sections of the configuration share: the base model, scalar types and refusals."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from streamgauge.config.environment import FromEnvironment
from streamgauge.config.places import Place

REFUSED: Final = "refused"
"""The type of our own validation errors: their text needs no translation."""


class Section(BaseModel):
    """A part of the configuration: frozen, closed, and never echoing what was put in.

    Defaults that need reading are written as in the file, by `default`; the docstring below a field
    is its description in the JSON Schema.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


def default(value: object, examples: list[Any] | None = None) -> Any:
    """Return a field's default, written as it would stand in the file."""
    return Field(value, validate_default=True, examples=examples)


def refusal(text: str) -> PydanticCustomError:
    """Return the error of one value: what is wrong and the remedy, in plain words."""
    return PydanticCustomError(REFUSED, "{text}", {"text": text})


def refusals(problems: Iterable[tuple[Place, str]]) -> ValidationError | None:
    """Return one error for several places below a section, or None where there are none."""
    details = [
        InitErrorDetails(type=refusal(text), loc=place, input=None) for place, text in problems
    ]
    return ValidationError.from_exception_data("configuration", details) if details else None


def shown(value: str) -> str:
    """Return a text for a message: quoted, escaped and cut, or no more than a word if secret."""
    if isinstance(value, FromEnvironment):
        return "the value from the environment"
    return repr(value) if len(value) <= 40 else f"{value[:40]!r}..."


def _whole_number(value: object) -> object:
    if isinstance(value, FromEnvironment) and re.fullmatch(r"[+-]?[0-9]{1,18}", value):
        return int(value)
    return value


def _number(value: object) -> object:
    if isinstance(value, FromEnvironment) and re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]+)?", value):
        return float(value)
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise refusal("holds control or invisible characters; write printable text")
    if value != value.strip():
        raise refusal("begins or ends with a space; remove it")
    return value


def _path_text(value: object) -> object:
    if isinstance(value, str) and (not value or not value.isprintable()):
        raise refusal("must be the path of a file; write it in printable characters")
    return value


def _in_folder(path: Path, info: ValidationInfo) -> Path:
    folder = info.context.get("folder") if isinstance(info.context, dict) else None
    return folder / path if isinstance(folder, Path) else path


WholeNumber = Annotated[int, Strict(), BeforeValidator(_whole_number)]
"""An integer: no boolean, no fraction, text only where it came from the environment."""
Number = Annotated[float, Strict(), Field(allow_inf_nan=False), BeforeValidator(_number)]
"""A finite number, else as `WholeNumber`."""
Text = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_printable)]
"""One line of printable text."""
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
"""The id of a model, or the name of a feature, tag or dimension, as the events spell it.

Any printable text is legal in an event, `../../x` too, so none is refused for its signs: ids
never become parts of a file's path, and whoever writes one into a URL or label escapes it.
"""
FilePath = Annotated[
    Path,
    BeforeValidator(_path_text),
    AfterValidator(_in_folder),
    WithJsonSchema({"type": "string", "minLength": 1}),
]
"""A file; a relative path is resolved against the folder of the configuration file."""
