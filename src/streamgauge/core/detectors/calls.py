"""Calls: what detectors were told since a snapshot of them, to be told again.

Their arrays are large and all of them change with every pane; what they are told is small. So a
snapshot is written rarely, and in between only the calls since, a part for each closed pane, which
is written once. Whoever makes the same calls to the snapshot has the same bits.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.packed import PackedCounts
from streamgauge.core.state import Kept, Part, Plain, needed, packed_of, reading

MOST_PANES: Final = 32
"""Panes after which a new snapshot is due: telling them again takes as long as the first time, some
10 ms each for 200 slices and 20 features, and who restarts should not take long. Windows whose
steps are panes share their packed counts, which so take no memory of their own."""


class Call(NamedTuple):
    """One call: events of a pane that began at `time` (ms), or where `counts` is None its close.

    `followed` rows were known then; `rows (k,)`, `counts (k, W)` packed.
    """

    followed: int
    time: int
    rows: IntArray
    counts: PackedCounts | None

    @property
    def nbytes(self) -> int:
        """Memory of the arrays in bytes."""
        return self.rows.nbytes + (0 if self.counts is None else self.counts.nbytes)


@dataclass(slots=True)
class CallLog:
    """The calls since a snapshot of detectors, in runs that end with a close.

    The snapshot itself is not kept: `draw` gives what the detectors hold now, which is asked for
    when the log begins. `number` is that of the first run; no run of a later log has one of these.
    """

    draw: Callable[[], dict[str, Any]]
    number: int
    runs: list[list[Call]] = field(default_factory=list)
    _size: int = 0
    """Bytes of the snapshot."""
    _bytes: int = 0

    def __post_init__(self) -> None:
        self._bytes = sum(call.nbytes for run in self.runs for call in run)

    @property
    def next_number(self) -> int:
        """The number of the first run of a log that begins now."""
        return self.number + len(self.runs)

    @property
    def due(self) -> bool:
        """Whether a new snapshot is worth more than the calls since this one."""
        return len(self.runs) > MOST_PANES or self._bytes > self._size

    def add(self, call: Call) -> None:
        """Note a call."""
        if not self.runs or self.runs[-1][-1].counts is None:
            self.runs.append([])
        self.runs[-1].append(call)
        self._bytes += call.nbytes

    def parts(self) -> Iterator[Part]:
        """Yield the snapshot and every run of calls.

        Whoever takes the data of the snapshot again when calls were made since gets one of now,
        and no calls.
        """
        yield Part("snapshot", self.number, self._snapshot, once=True)
        for number, run in enumerate(self.runs, self.number):
            yield Part(f"calls/{number}", len(run), partial(_run_data, run))

    def _snapshot(self) -> Plain:
        self.number, self.runs, self._bytes = self.next_number, [], 0
        drawn = self.draw()
        self._size = size_of(drawn)
        return {"number": self.number, "detectors": drawn}

    @classmethod
    def restored(
        cls, kept: Kept, draw: Callable[[], dict[str, Any]]
    ) -> "tuple[CallLog, dict[str, Any]]":
        """Return a copy of the log that yielded these parts, and the snapshot at its beginning."""
        base = needed(kept, "snapshot")
        with reading("snapshot"):
            number, snapshot = base["number"], base["detectors"]
        runs = []
        for place in range(number, number + len(kept) - 1):
            key = f"calls/{place}"
            data = needed(kept, key)
            with reading(key):
                runs.append([_call_of(item) for item in data])
                if not runs[-1] or any(call.counts is None for call in runs[-1][:-1]):
                    raise ValueError("is no run of calls up to a close")
        return cls(draw, number, runs, size_of(snapshot)), snapshot


def _run_data(run: list[Call]) -> Plain:
    return [
        call._asdict() | {"counts": None if call.counts is None else call.counts.data()}
        for call in run
    ]


def _call_of(data: Plain) -> Call:
    counts = data["counts"]
    return Call(
        data["followed"],
        data["time"],
        np.array(data["rows"], np.int64),
        None if counts is None else packed_of(counts),
    )


def size_of(data: Plain) -> int:
    """Return how many bytes the arrays in nested dicts take."""
    if isinstance(data, dict):
        return sum(map(size_of, data.values()))
    return data.nbytes if isinstance(data, np.ndarray) else 0
