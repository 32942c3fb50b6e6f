"""Environment variables in the file: `${NAME}` and `${NAME:-default}` within texts."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from streamgauge.config.places import Place, Problem

# `$${` is a literal `${`; a `${` without a proper name and end matches with no groups.
_REFERENCE: Final = re.compile(r"(\$\$\{)|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\})?")


class FromEnvironment(str):
    """A text that holds values from the environment: it may be a secret, so no message shows it.

    Where a number is due, its digits are read as one, which plain text never is.
    """

    __slots__ = ()


def substitute(data: object, environment: Mapping[str, str]) -> tuple[object, list[Problem]]:
    """Return the data with every `${...}` in its texts replaced, and what could not be replaced.

    Keys are left alone. `${NAME:-default}` gives the default where NAME is unset or empty.
    """
    problems: list[Problem] = []

    def visit(value: object, place: Place) -> object:
        if isinstance(value, dict):
            return {key: visit(entry, (*place, key)) for key, entry in value.items()}
        if isinstance(value, list):
            return [visit(entry, (*place, index)) for index, entry in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return _replace(value, environment, lambda text: problems.append(Problem(place, text)))
        return value

    return visit(data, ()), problems


def _replace(
    value: str, environment: Mapping[str, str], report: Callable[[str], None]
) -> FromEnvironment:
    def replacement(match: re.Match[str]) -> str:
        escaped, name, default = match.groups()
        if escaped:
            return "${"
        if name is None:
            report("holds a broken '${'; write ${NAME} or ${NAME:-default}, or $${ for a plain ${")
            return ""
        found = environment.get(name, "")
        if default is not None:
            return found or str(default)
        if name not in environment:
            report(f"the environment variable {name} is not set; set it or write ${{{name}:-...}}")
        return found

    return FromEnvironment(_REFERENCE.sub(replacement, value))
