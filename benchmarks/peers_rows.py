"""The rows that the benchmark of peers sends through everybody: in memory, on disk and as JSON.

A row has 18 numeric features, two categorical ones, a score, a predicted class and three tags; it
is sliced by the categorical features and the tags, some 100 slices together. Processes of other
environments read the rows from a file, so that no generator has to give the same numbers in two
versions of numpy.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

START_MS: Final = 1_764_000_000_000
EVENTS_PER_MS: Final = 20
"""Event time: 20,000 predictions a second."""
MODEL: Final = "peers"
NUMERIC: Final = tuple(f"f{i}" for i in range(18))
CATEGORICAL: Final = ("carrier", "airport")
TAGS: Final = ("region", "device", "channel")
DIMENSIONS: Final = dict(zip((*CATEGORICAL, *TAGS), (10, 60, 20, 8, 5), strict=True))
"""Slice dimensions, and how many values each has."""


class Rows(NamedTuple):
    """Rows: `numbers (n, 18) float64`, `codes (n, 5) int64` by dimension, `score (n,) float64`."""

    numbers: NDArray[np.float64]
    codes: NDArray[np.int64]
    score: NDArray[np.float64]

    def part(self, first: int, size: int) -> "Rows":
        """Return `size` rows from one on."""
        chosen = slice(first, first + size)
        return Rows(self.numbers[chosen], self.codes[chosen], self.score[chosen])

    def words(self, dimension: str) -> list[str]:
        """Return the values of a slice dimension, one for each row."""
        place = list(DIMENSIONS).index(dimension)
        names = [f"{dimension[0]}{code}" for code in range(DIMENSIONS[dimension])]
        return [names[code] for code in self.codes[:, place].tolist()]

    @property
    def prediction(self) -> NDArray[np.int64]:
        """The predicted class of each row `(n,)`."""
        return (self.score >= 0.5).astype(np.int64)

    def save(self, path: Path) -> None:
        """Write the rows to a file."""
        np.savez(path, numbers=self.numbers, codes=self.codes, score=self.score)


def make(n: int, seed: int) -> Rows:
    """Return `n` rows, the same for the same seed; all seeds have one distribution."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(100, 30, (n, len(NUMERIC))).round(2)
    codes = np.stack([rng.integers(size, size=n) for size in DIMENSIONS.values()], axis=1)
    return Rows(numbers, codes, rng.beta(2, 5, n).round(3))


def load(path: Path) -> Rows:
    """Return the rows of a file."""
    with np.load(path) as found:
        return Rows(found["numbers"], found["codes"], found["score"])


def columns(rows: Rows) -> dict[str, Any]:
    """Return the features by name: arrays of numbers, and lists of words."""
    numbers = {name: np.ascontiguousarray(rows.numbers[:, i]) for i, name in enumerate(NUMERIC)}
    return {**numbers, **{name: rows.words(name) for name in CATEGORICAL}}


def events(rows: Rows) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each row's prediction event, in the order of their times."""
    import orjson

    words = zip(*(rows.words(name) for name in DIMENSIONS), strict=True)
    numbers = (row.tolist() for row in rows.numbers)
    rest = zip(rows.score.tolist(), rows.prediction.tolist(), strict=True)
    features = (*NUMERIC, *CATEGORICAL)
    for i, (row, values, (score, prediction)) in enumerate(zip(numbers, words, rest, strict=True)):
        event = {
            "prediction_id": f"p{i:08d}",
            "timestamp": START_MS + i // EVENTS_PER_MS,
            "model": MODEL,
            "model_version": "3",
            "features": dict(zip(features, (*row, *values[: len(CATEGORICAL)]), strict=True)),
            "prediction": prediction,
            "score": score,
            "tags": dict(zip(TAGS, values[len(CATEGORICAL) :], strict=True)),
            "latency_ms": 12.5,
        }
        yield b"p%08d" % i, orjson.dumps(event)
