"""What a prediction and a label cost in the join, and how many bytes wait for a label.

Batches of 10,000 events with 4 slice specifications and 20 features: predictions come, then their
labels, then each label's correction, then the first labels again; once more with the labels before
their predictions. What the store takes is told apart, so that what is left is the join. The store
on disk is flushed every 10 batches, in a folder that goes with the run.
Run with `python -m benchmarks.join [--quick] [--json]`.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from benchmarks.common import Row, arguments, report
from streamgauge.core.batch import BoolArray, IntArray
from streamgauge.core.joining.joiner import Joiner, JoinSpec
from streamgauge.core.joining.memory import MemoryStore
from streamgauge.core.joining.records import Joined, Labels, Pending, RecordFormat
from streamgauge.core.joining.store import Found, Keys, Records, Space, Store
from streamgauge.io.joining.join_store import JoinStore

BATCH = 10_000
FLUSH_EVERY = 10
SPECS = 5  # the whole version and four slice specifications
FEATURES = [24] * 20
HOUR_MS = 3_600_000
SPEC = JoinSpec(48 * HOUR_MS, max_bytes=1 << 34, max_waiting_bytes=1 << 34)
FORM = RecordFormat(SPECS, FEATURES, numbers=False)


class Timed:
    """A store that adds up the seconds spent in another one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.seconds = 0.0

    def get(self, space: Space, keys: Keys) -> Found:
        start = time.perf_counter()
        found = self._store.get(space, keys)
        self.seconds += time.perf_counter() - start
        return found

    def put(
        self,
        space: Space,
        buckets: IntArray,
        keys: Keys,
        records: Records,
        *,
        known: bool | BoolArray,
    ) -> None:
        start = time.perf_counter()
        self._store.put(space, buckets, keys, records, known=known)
        self.seconds += time.perf_counter() - start

    def drop(self, space: Space, bucket: int) -> None:
        self._store.drop(space, bucket)

    def sizes(self, space: Space) -> dict[int, int]:
        start = time.perf_counter()
        sizes = self._store.sizes(space)
        self.seconds += time.perf_counter() - start
        return sizes

    def flush(self) -> None:
        if isinstance(self._store, JoinStore):
            start = time.perf_counter()
            self._store.flush(b"")
            self.seconds += time.perf_counter() - start

    def close(self) -> None:
        if isinstance(self._store, JoinStore):
            self._store.close()


class Stream:
    """Batches of predictions and their labels; times go over several buckets in each batch."""

    def __init__(self, batches: int) -> None:
        random = np.random.default_rng(7)
        n = batches * BATCH
        self.keys = random.integers(0, 2**64, (n, 2), np.uint64)
        # Predictions within a minute for each batch, labels up to a day later, in another order.
        time_ms = np.arange(n) // BATCH * 60_000 + random.integers(0, 60_000, n)
        self.pending = Pending(
            time_ms,
            random.integers(0, 2_000, (n, SPECS), np.int32),
            random.integers(0, 24, (n, len(FEATURES))).astype(np.uint16),
            random.integers(0, 2, n).astype(np.int32),
            random.random(n),
        )
        self.order = random.permutation(n)
        self.labels = Labels(
            time_ms[self.order] + random.integers(0, 24 * HOUR_MS, n),
            random.integers(0, 2, n).astype(np.int32),
            np.zeros(n, np.int64),
        )
        self.told = self.keys[self.order]
        self.batches = np.arange(n).reshape(batches, BATCH)


def phase(timed: Timed, calls: Sequence[Callable[[], Joined]]) -> tuple[float, float, int]:
    """Seconds in all, those in the store, and the number of pairs."""
    before, start, pairs = timed.seconds, time.perf_counter(), 0
    for number, call in enumerate(calls, 1):
        pairs += len(call().time)
        if number % FLUSH_EVERY == 0 or number == len(calls):
            timed.flush()
    return time.perf_counter() - start, timed.seconds - before, pairs


def predict(joiner: Joiner, stream: Stream) -> list[Callable[[], Joined]]:
    """One call for each batch of predictions."""

    def one(batch: IntArray) -> Joined:
        mine = stream.keys[batch[0] : batch[-1] + 1]
        return joiner.predictions(mine, stream.pending.take(batch)).joined

    return [partial(one, batch) for batch in stream.batches]


def tell(joiner: Joiner, stream: Stream, version: int) -> list[Callable[[], Joined]]:
    """One call for each batch of labels."""
    labels = stream.labels._replace(version=stream.labels.version + version)
    return [
        partial(joiner.labels, stream.told[batch[0] : batch[-1] + 1], labels.take(batch))
        for batch in stream.batches
    ]


def measure(name: str, store: Callable[[], Store], stream: Stream) -> list[Row]:
    """One row for each kind of call."""
    n = len(stream.keys)
    rows: list[Row] = []
    sizes: dict[str, int] = {}
    found: dict[str, tuple[float, float, int]] = {}

    timed = Timed(store())
    joiner = Joiner(SPEC, FORM, timed)
    found["predictions"] = phase(timed, predict(joiner, stream))
    sizes["predictions"] = sum(timed.sizes(Space.PREDICTIONS).values())
    found["labels"] = phase(timed, tell(joiner, stream, 0))
    found["corrections"] = phase(timed, tell(joiner, stream, 1))
    sizes["corrections"] = sum(timed.sizes(Space.PREDICTIONS).values())
    found["duplicates"] = phase(timed, tell(joiner, stream, 0))
    assert joiner.counts().joined == joiner.counts().corrections == n
    timed.close()

    timed = Timed(store())
    joiner = Joiner(SPEC, FORM, timed)
    found["labels first"] = phase(timed, tell(joiner, stream, 0))
    sizes["labels first"] = sum(timed.sizes(Space.LABELS).values())
    found["predictions after"] = phase(timed, predict(joiner, stream))
    assert joiner.counts().joined == n
    timed.close()

    for what, (seconds, in_store, pairs) in found.items():
        rows.append(
            {
                "store": name,
                "events": what,
                "us_per_event": 1e6 * seconds / n,
                "us_in_store": 1e6 * in_store / n,
                "us_in_join": 1e6 * (seconds - in_store) / n,
                "pairs_per_s": pairs / seconds,
                "bytes_per_event": sizes[what] / n if what in sizes else "",
            }
        )
    return rows


def main() -> None:
    """Print the table."""
    options = arguments("Cost of the join of labels and predictions.")
    stream = Stream(10 if options.quick else 50)
    rows = measure("memory", MemoryStore, stream)
    with tempfile.TemporaryDirectory() as folder:
        numbers = count()
        rows += measure(
            "disk", lambda: JoinStore.open(Path(folder) / str(next(numbers)), "benchmark"), stream
        )
    report("Join of labels and predictions", rows, as_json=options.json)


if __name__ == "__main__":
    main()
