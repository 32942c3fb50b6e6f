"""Subjects as they are written in the file: `feature`, or `feature:distance`."""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from streamgauge.config.schema import FROM_ENVIRONMENT
from streamgauge.config.section import refusal
from streamgauge.core.layout import SubjectKind

_KINDS: Final = tuple(kind.value for kind in SubjectKind)


@dataclass(frozen=True, slots=True)
class Subjects:
    """All subjects of a kind, or the one that is named."""

    kind: SubjectKind
    name: str | None = None

    def __str__(self) -> str:
        return self.kind.value if self.name is None else f"{self.kind.value}:{self.name}"


def parse_subjects(text: str) -> Subjects:
    """Return the subjects that `kind` or `kind:name` names; the name may hold colons.

    Raises ValueError for an unknown kind and for an empty name.
    """
    kind, colon, name = text.partition(":")
    if kind not in _KINDS or (colon and not name):
        raise ValueError(
            f"must be a kind out of {', '.join(_KINDS)}, or a kind and a name; write it as in"
            " feature or feature:distance"
        )
    return Subjects(SubjectKind(kind), name or None)


def _subjects(value: object) -> Subjects:
    if isinstance(value, Subjects):
        return value
    if not isinstance(value, str):
        raise refusal("must be text; write it as in feature or feature:distance")
    try:
        return parse_subjects(value)
    except ValueError as error:
        raise refusal(str(error)) from None


SubjectsText = Annotated[
    Subjects,
    PlainValidator(_subjects),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^(({'|'.join(_KINDS)})(:.+)?|{FROM_ENVIRONMENT})$",
            "examples": ["feature:distance", "data_quality"],
        }
    ),
]
"""`Subjects`, written as text."""
