"""Places in a configuration and what is wrong there."""

import json
import re
from dataclasses import dataclass

Place = tuple[str | int, ...]
"""The keys and indices that lead to a value, from the top."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, and what with its remedy as one line of text."""

    place: Place
    text: str
    key: str | None = None
    """The key below the place whose line it is, where the text names that key."""


def place_text(place: Place) -> str:
    """Return a place as people write it: `models.flight-delay.windows[1]`.

    Keys with other signs than letters, digits, `_` and `-` are quoted, control signs escaped.
    """
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=not part.isprintable())}]"
    return text
