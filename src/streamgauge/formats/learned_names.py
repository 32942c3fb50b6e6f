"""Learns which oddities a stream keeps bringing, so that counting them stays cheap."""

from collections import Counter
from typing import Final

from streamgauge.formats.event_types import can_be_field

SIGHTINGS: Final = 8
"""A name seen this often is worth a place in the typed decoder."""
MAX_LEARNED: Final = 64
"""More names than this are read one by one: a bound on the generated structs."""
_MAX_WATCHED: Final = 1024
_MAX_NAME_LENGTH: Final = 256


class LearnedNames:
    """The names at one place of one model's events that need more than its schema provides for.

    What is learned decides how fast an event is decoded and never what it is decoded to.
    """

    def __init__(self) -> None:
        self.learned: tuple[str, ...] = ()
        self._sightings: Counter[str] = Counter()

    def see(self, name: str) -> None:
        """Note one sighting of a name."""
        if len(self.learned) >= MAX_LEARNED or name in self.learned:
            return
        if name not in self._sightings and len(self._sightings) >= _MAX_WATCHED:
            self._sightings.clear()  # a flood of names that never come back
        self._sightings[name] += 1

    def learn(self) -> bool:
        """Take up the names seen often enough; whether there are any."""
        frequent = [
            name
            for name, count in self._sightings.items()
            if count >= SIGHTINGS and len(name) <= _MAX_NAME_LENGTH and can_be_field(name)
        ]
        if not frequent:
            return False
        room = MAX_LEARNED - len(self.learned)
        self.learned += tuple(sorted(frequent)[:room])
        self._sightings.clear()
        return True
