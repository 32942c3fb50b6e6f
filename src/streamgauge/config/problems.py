"""Validation errors in plain words: what is wrong at a place, and what to write instead."""

import difflib
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from streamgauge.config.places import Place, Problem
from streamgauge.config.section import REFUSED


def explain(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return what is wrong in the file, in its own words; no value that was put in is shown.

    `model` is what the whole file was validated as; its fields name the keys that are known.
    """
    found = error.errors(include_url=False)
    # Pydantic counts the good entries alone: a list with a bad one is no shorter for that.
    lists = {d["loc"][:end] for d in found for end in range(len(d["loc"]))}
    return [_problem(d, model) for d in found if d["type"] != "too_short" or d["loc"] not in lists]


def _problem(details: ErrorDetails, model: type[BaseModel]) -> Problem:
    # Pydantic marks branches of a union and keys of a mapping in the place; the file has neither.
    place = tuple(part for part in details["loc"] if part not in _MARKS)
    kind = details["type"]
    context: Mapping[str, Any] = details.get("ctx", {})
    if kind == REFUSED:
        return Problem(place, context["text"])
    if kind == "extra_forbidden":
        *above, key = place
        text = _unknown_key(str(key), _section(model, tuple(above)))
        return Problem(tuple(above), text, key=str(key))
    if kind == "missing":
        return Problem(place[:-1], _missing_key(str(place[-1]), _section(model, place[:-1])))
    if kind in _CHOICES:
        return Problem(place, _choice(context["expected"], details["input"]))
    if details["input"] is None:
        return Problem(place, "has no value; write one, or remove the key")
    if kind == "too_short" and isinstance(details["input"], str):  # a secret
        kind = "string_too_short"
    explanation = _EXPLANATIONS.get(kind)
    if explanation is None:
        return Problem(place, f"is not accepted: {details['msg']}; see the documentation")
    return Problem(place, explanation(context, _described(details["input"])))


_MARKS: Final = frozenset({"(learn)", "(file)", "[key]"})
_CHOICES: Final = frozenset({"enum", "literal_error"})


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


_EXPLANATIONS: Final[Mapping[str, Callable[[Mapping[str, Any], str], str]]] = {
    "string_type": lambda _, was: f"must be text, not {was}; put it in quotes",
    "int_type": lambda _, was: f"must be a whole number, not {was}; write digits without quotes",
    "float_type": lambda _, was: f"must be a number, not {was}; write digits without quotes",
    "finite_number": lambda *_: "must be a finite number; write digits",
    "path_type": lambda _, was: f"must be the path of a file, not {was}; write it as text",
    "model_type": lambda _, was: f"must hold 'key: value' lines, not {was}; indent the keys below",
    "dict_type": lambda _, was: f"must hold 'key: value' lines, not {was}; indent them below",
    "tuple_type": lambda _, was: f"must be a list, not {was}; put brackets around it, as in [a, b]",
    "string_too_short": lambda *_: "must not be empty; write a text, or remove the key",
    "string_too_long": lambda ctx, _: f"is too long; write at most {ctx['max_length']} characters",
    "too_short": lambda ctx, _: f"is too short; write at least {_entries(ctx['min_length'])}",
    "too_long": lambda ctx, _: f"is too long; write at most {_entries(ctx['max_length'])}",
    "greater_than": lambda ctx, _: f"is too small; write a number above {ctx['gt']:g}",
    "greater_than_equal": lambda ctx, _: f"is too small; write a number from {ctx['ge']:,} up",
    "less_than_equal": lambda ctx, _: f"is too large; write a number up to {ctx['le']:,}",
}


def _described(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number with a fraction"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list | tuple) else "keys and values"


def _unknown_key(key: str, section: type[BaseModel] | None) -> str:
    known = [] if section is None else list(section.model_fields)
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"unknown key {key!r}; did you mean {close[0]!r}?"
    return f"unknown key {key!r}; known are {', '.join(known)}"


def _missing_key(key: str, section: type[BaseModel] | None) -> str:
    field = None if section is None else section.model_fields.get(key)
    if field is None or not field.examples:
        return f"the key {key!r} is missing; add it"
    return f"the key {key!r} is missing; add it, such as {_yaml({key: field.examples[0]})[1:-1]}"


def _yaml(value: object) -> str:
    if not isinstance(value, dict):
        return str(value)
    return "{" + ", ".join(f"{key}: {_yaml(entry)}" for key, entry in value.items()) + "}"


def _choice(expected: str, value: object) -> str:
    words = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    text = f"must be one of {', '.join(words)}"
    folded = {word.casefold(): word for word in words}
    close = difflib.get_close_matches(str(value).casefold(), folded, n=1)
    return f"{text}; did you mean {folded[close[0]]!r}?" if close else f"{text}; write one of them"


def _section(model: type[BaseModel], place: Place) -> type[BaseModel] | None:
    """Return the section that stands at a place of the file, None where there is none."""
    current: Any = model
    for part in place:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = None if field is None else _bare(field.annotation)
        else:
            arguments = get_args(current)
            current = _bare(arguments[0 if isinstance(part, int) else -1]) if arguments else None
    is_section = isinstance(current, type) and issubclass(current, BaseModel)
    return current if is_section else None


def _bare(annotation: Any) -> Any:
    """Return a type without its annotations; of a union, the section or else the first other."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        options = [_bare(option) for option in get_args(annotation) if option is not NoneType]
        sections = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        return (sections or options)[0]
    return annotation
