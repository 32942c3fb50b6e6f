"""The join's load on a store: numbered predictions over days, their labels, and what it costs."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.join_store_candidates import Candidate, Records
from streamgauge.core.joining.store import Space
from streamgauge.io.joining.filters import Filter, marks
from streamgauge.io.joining.join_store import JoinStore

BUCKETS = 8
"""Seven days of predictions in buckets of a day: the last of them has begun."""
FLUSH = 20_000
POLL = 10_000
RECORD_BYTES = 60

Numbers = NDArray[np.int64]


class Subject(Protocol):
    """A store under test: records by bucket, found without knowing it."""

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Look keys up in all buckets."""
        ...

    def write(self, records: Mapping[int, Records]) -> None:
        """Write records by bucket and a small value, in one batch, at once."""
        ...

    def drop(self, bucket: int) -> None:
        """Forget a bucket."""
        ...


class Probing:
    """A candidate that is asked bucket by bucket, newest first."""

    def __init__(self, candidate: Candidate, buckets: Sequence[int] = ()) -> None:
        self._candidate = candidate
        self._buckets = list(buckets)

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Look keys up in all buckets."""
        found: dict[bytes, bytes] = {}
        rest = list(keys)
        for bucket in reversed(self._buckets):
            values = self._candidate.find(bucket, rest)
            missing = []
            for key, value in zip(rest, values, strict=True):
                if value is None:
                    missing.append(key)
                else:
                    found[key] = value
            rest = missing
        return [found.get(key) for key in keys]

    def write(self, records: Mapping[int, Records]) -> None:
        """Write one batch."""
        self._buckets = sorted({*self._buckets, *records})
        self._candidate.write(records, b"offsets")

    def drop(self, bucket: int) -> None:
        """Forget a bucket."""
        self._buckets.remove(bucket)
        self._candidate.drop(bucket)


class Filtered(Probing):
    """A candidate behind the join store's filters, which are not written anywhere here."""

    def __init__(self, candidate: Candidate, buckets: Sequence[int] = ()) -> None:
        super().__init__(candidate, buckets)
        self._filters: dict[int, Filter] = {}

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Look keys up in the buckets that may have them."""
        if not self._filters:
            return super().get(keys)
        signs = marks(keys)
        values: list[bytes | None] = [None] * len(keys)
        for bucket, filter_ in self._filters.items():
            places = np.flatnonzero(filter_.perhaps(signs)).tolist()
            if places:
                found = self._candidate.find(bucket, [keys[i] for i in places])
                for i, value in zip(places, found, strict=True):
                    if value is not None:
                        values[i] = value
        return values

    def write(self, records: Mapping[int, Records]) -> None:
        """Write one batch."""
        for bucket, rows in records.items():
            self._filters.setdefault(bucket, Filter()).add(marks(list(rows)))
        super().write(records)

    def drop(self, bucket: int) -> None:
        """Forget a bucket."""
        del self._filters[bucket]
        super().drop(bucket)


class Ours:
    """The join store, flushed with every batch."""

    def __init__(self, folder: Path, space: Space = Space.PREDICTIONS) -> None:
        self.store = JoinStore.open(folder, "benchmark")
        self._space = space

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Look keys up."""
        return self.store.get(self._space, keys)

    def write(self, records: Mapping[int, Records]) -> None:
        """Put and flush."""
        for bucket, rows in records.items():
            self.store.put(self._space, bucket, list(rows), list(rows.values()))
        self.store.flush(b"offsets")

    def drop(self, bucket: int) -> None:
        """Drop and flush."""
        self.store.drop(self._space, bucket)
        self.store.flush(b"offsets")


@dataclass(frozen=True, slots=True)
class Load:
    """`pending` numbered predictions, in equal buckets by time."""

    pending: int

    def bucket(self, number: int) -> int:
        """Return the bucket of a prediction."""
        return min(number * BUCKETS // self.pending, BUCKETS - 1)

    def by_bucket(self, numbers: Numbers, values: Sequence[bytes]) -> dict[int, dict[bytes, bytes]]:
        """Return records of predictions, by bucket."""
        records: dict[int, dict[bytes, bytes]] = {}
        for number, key, value in zip(numbers.tolist(), keys_of(numbers), values, strict=False):
            records.setdefault(self.bucket(number), {})[key] = value
        return records

    def absent(self, rng: np.random.Generator) -> list[bytes]:
        """Return keys that no prediction has."""
        return keys_of(rng.integers(self.pending, 2**40, POLL))

    def present(self, rng: np.random.Generator, n: int = POLL) -> Numbers:
        """Return distinct predictions from all days."""
        return rng.permutation(np.unique(rng.integers(self.pending, size=n)))


def keys_of(numbers: Numbers) -> list[bytes]:
    """Return keys that look random, by the finaliser of SplitMix64 twice over."""
    words = np.stack((_mixed(numbers, 0x9E3779B97F4A7C15), _mixed(numbers, 0xD1B54A32D192ED03)), 1)
    data = words.tobytes()
    return [data[at : at + 16] for at in range(0, len(data), 16)]


def _mixed(numbers: Numbers, step: int) -> NDArray[np.uint64]:
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(step)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def values_of(n: int, rng: np.random.Generator) -> list[bytes]:
    """Return records that no compression makes smaller."""
    data = rng.bytes(n * RECORD_BYTES)
    return [data[at : at + RECORD_BYTES] for at in range(0, len(data), RECORD_BYTES)]


class Filling(NamedTuple):
    """Records a second that a store took, all in all and over the last tenth; its longest write."""

    rate: float
    last_rate: float
    longest_seconds: float


def fill(subject: Subject, load: Load) -> Filling:
    """Put all predictions in order of time."""
    rng = np.random.default_rng(1)
    seconds = []
    for start in range(0, load.pending, FLUSH):
        numbers = np.arange(start, start + FLUSH)
        records = dict(zip(keys_of(numbers), values_of(FLUSH, rng), strict=True))
        begin = time.perf_counter()
        subject.write({load.bucket(start): records})
        seconds.append(time.perf_counter() - begin)
    last = seconds[-max(1, len(seconds) // 10) :]
    return Filling(load.pending / sum(seconds), FLUSH * len(last) / sum(last), max(seconds))


def median_seconds(work: Callable[[int], object], repeats: int) -> float:
    """Return the median time of a piece of work, which is given its turn's number."""
    times = []
    for turn in range(repeats):
        begin = time.perf_counter()
        work(turn)
        times.append(time.perf_counter() - begin)
    return float(np.median(times))


def bytes_on_disk(folder: Path) -> int:
    """Return the blocks that the files in a folder take."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(place) / name).stat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def resident_mib() -> tuple[float, float]:
    """Return this process's resident memory in MiB: all of it, and without pages of files."""
    fields = {}
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, amount, *_ = line.split()
        fields[name] = int(amount) / 1024
    return fields["Rss:"], fields["Anonymous:"]
