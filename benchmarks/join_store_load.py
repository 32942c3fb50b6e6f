"""The join's load on a store: numbered predictions over days, their labels, and what it costs."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.join_store_candidates import Candidate
from streamgauge.core.joining.store import Keys, Records, Space
from streamgauge.io.joining.filters import Filter, prefixes_of
from streamgauge.io.joining.join_store import JoinStore

BUCKETS = 8
"""Seven days of predictions in buckets of a day: the last of them has begun."""
FLUSH = 20_000
POLL = 10_000
RECORD_BYTES = 60

Numbers = NDArray[np.int64]
Rows = tuple[Keys, Records]
"""Keys and the records that they have."""


class Subject(Protocol):
    """A store under test: records by bucket, found without knowing it."""

    def get(self, keys: Keys) -> int:
        """Look keys up in all buckets; return how many have a record."""
        ...

    def write(self, records: Mapping[int, Rows]) -> None:
        """Write records by bucket and a small value, all or nothing, at once."""
        ...

    def drop(self, bucket: int) -> None:
        """Forget a bucket."""
        ...


class Probing:
    """A candidate that is asked bucket by bucket, newest first.

    It takes bytes, one object for each key and record: to make them is part of what it costs.
    """

    def __init__(self, candidate: Candidate, buckets: Sequence[int] = ()) -> None:
        self._candidate = candidate
        self._buckets = list(buckets)

    def get(self, keys: Keys) -> int:
        """Look keys up in all buckets."""
        found: dict[bytes, bytes] = {}
        rest = octets(keys)
        for bucket in reversed(self._buckets):
            values = self._candidate.find(bucket, rest)
            missing = []
            for key, value in zip(rest, values, strict=True):
                if value is None:
                    missing.append(key)
                else:
                    found[key] = value
            rest = missing
        return len(found)

    def write(self, records: Mapping[int, Rows]) -> None:
        """Write one batch."""
        self._buckets = sorted({*self._buckets, *records})
        rows = {
            bucket: dict(zip(octets(keys), octets(values), strict=True))
            for bucket, (keys, values) in records.items()
        }
        self._candidate.write(rows, b"offsets")

    def drop(self, bucket: int) -> None:
        """Forget a bucket."""
        self._buckets.remove(bucket)
        self._candidate.drop(bucket)


class Filtered(Probing):
    """A candidate behind the join store's filters, which are not written anywhere here."""

    def __init__(self, candidate: Candidate, buckets: Sequence[int] = ()) -> None:
        super().__init__(candidate, buckets)
        self._filters: dict[int, list[Filter]] = {}

    def get(self, keys: Keys) -> int:
        """Look keys up in the buckets that may have them."""
        if not self._filters:
            return super().get(keys)
        hits = 0
        for bucket, filters in self._filters.items():
            perhaps = np.concatenate([each.perhaps(keys) for each in filters])
            found = self._candidate.find(bucket, octets(keys[np.unique(perhaps)]))
            hits += sum(value is not None for value in found)
        return hits

    def write(self, records: Mapping[int, Rows]) -> None:
        """Write one batch."""
        for bucket, (keys, _) in records.items():
            filters = self._filters.setdefault(bucket, [])
            if not filters or not filters[-1].has_room(len(keys)):
                filters.append(Filter(np.zeros(1 << 18, np.uint64)))
            filters[-1].add(prefixes_of(keys))
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

    def get(self, keys: Keys) -> int:
        """Look keys up."""
        return len(self.store.get(self._space, keys).place)

    def write(self, records: Mapping[int, Rows]) -> None:
        """Put and flush."""
        for bucket, (keys, values) in records.items():
            known = np.zeros(len(keys), np.bool_)
            known[self.store.get(self._space, keys).place] = True
            self.store.put(self._space, np.full(len(keys), bucket), keys, values, known=known)
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

    def by_bucket(self, numbers: Numbers, values: Records) -> dict[int, Rows]:
        """Return records of predictions, by bucket."""
        batches = numbers // FLUSH * FLUSH  # each was written to one bucket
        buckets = np.minimum(batches * BUCKETS // self.pending, BUCKETS - 1)
        keys = keys_of(numbers)
        return {
            bucket: (keys[buckets == bucket], values[buckets == bucket])
            for bucket in np.unique(buckets).tolist()
        }

    def absent(self, rng: np.random.Generator) -> Keys:
        """Return keys that no prediction has."""
        return keys_of(rng.integers(self.pending, 2**40, POLL))

    def present(self, rng: np.random.Generator, n: int = POLL) -> Numbers:
        """Return distinct predictions from all days."""
        return rng.permutation(np.unique(rng.integers(self.pending, size=n)))


def octets(values: Keys | Records) -> list[bytes]:
    """Return keys or records as bytes."""
    size = values.nbytes // len(values) if len(values) else 1
    found: list[bytes] = np.ascontiguousarray(values).view(f"V{size}").ravel().tolist()
    return found


def keys_of(numbers: Numbers) -> Keys:
    """Return keys that look random, by the finaliser of SplitMix64 twice over."""
    return np.stack((_mixed(numbers, 0x9E3779B97F4A7C15), _mixed(numbers, 0xD1B54A32D192ED03)), 1)


def _mixed(numbers: Numbers, step: int) -> NDArray[np.uint64]:
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(step)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def values_of(n: int, rng: np.random.Generator) -> Records:
    """Return records that no compression makes smaller."""
    return np.frombuffer(rng.bytes(n * RECORD_BYTES), f"V{RECORD_BYTES}")


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
        records = keys_of(numbers), values_of(FLUSH, rng)
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
