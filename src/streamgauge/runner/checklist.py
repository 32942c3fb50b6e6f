"""Checklist: what a check looked at, how it was found, and what to do where it is not as it should.

An item reads as a sentence: its subject, then its text. Subjects are things people know ("topic
labels"), texts say what is so ("has 4 partitions"), remedies what to do.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from streamgauge.config import config_error
from streamgauge.config.places import Place
from streamgauge.errors import ConfigError, StreamgaugeError


class Grade(StrEnum):
    """How a thing was found."""

    OK = "ok"
    NOTE = "note"
    """It works, and could be better."""
    WRONG = "wrong"
    """Somebody has to change the file, a reference, a topic or this user's access."""
    FAILED = "failed"
    """It could not be found out: the broker is away, or did not answer."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was looked at; `place` is what in the file it is about."""

    grade: Grade
    subject: str
    text: str
    remedy: str = ""
    place: Place | None = None

    @property
    def problem(self) -> bool:
        """Whether it keeps the monitor from running."""
        return self.grade in (Grade.WRONG, Grade.FAILED)

    @property
    def sentence(self) -> str:
        """Return what was found and the remedy, without the place."""
        text = f"{self.subject} {self.text}"
        return f"{text}; {self.remedy}" if self.remedy else text


def where(item: Item, path: Path) -> str:
    """Return the place in the file that an item is about: `file.yaml:12: topics.labels[0]`."""
    if item.place is None:
        return str(path)
    return str(config_error(path, item.place, "")).removesuffix(": ")


def located(item: Item, path: Path) -> str:
    """Return the item as one line with its place in the file."""
    return f"{where(item, path)}: {item.sentence}"


def problems(items: Iterable[Item], path: Path) -> StreamgaugeError | None:
    """Return the error of all problems, a line each, or None where there are none.

    Its exit code is 78 if anything has to be changed, else 1: the broker is away.
    """
    found = [item for item in items if item.problem]
    if not found:
        return None
    wrong = any(item.grade is Grade.WRONG for item in found)
    kind = ConfigError if wrong else StreamgaugeError
    return kind("\n".join(located(item, path) for item in found))
