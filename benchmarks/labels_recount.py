"""The flight year with its labels through a pipeline, against a recount with pandas.

Some predictions and labels are sent twice, some labels are corrected hours later, and some come too
late: drawn with a fixed seed. The messages come in the order of their times.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from streamgauge.config import load
from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.blocks import Block
from streamgauge.core.engine import ModelEngine
from streamgauge.core.outcomes.figures import binary_sums
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.outcomes.stream import OutcomeStream
from streamgauge.core.performance.binary import binary_figures
from streamgauge.core.slices import RowKey
from streamgauge.demo import dataset
from streamgauge.formats.messages import RawMessages
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import Plan, plan
from streamgauge.runner.stores import MemoryStores
from tests.support.label_judge import counted, rows_of

HOUR: Final = 3_600_000
MAX_DELAY: Final = 48 * HOUR
POLL: Final = 150
MANY: Final = 500
BETWEEN: Final = 12 * HOUR
"""Event time between two looks at the windows."""
SLICED: Final = ((), ("carrier",), ("origin",), ("carrier", "origin"))
CONFIG: Final = """
app: flights
kafka: {bootstrap_servers: "%(bootstrap)s"}
topics: {predictions: [%(predictions)s], labels: [%(labels)s], alerts: %(alerts)s,
         dead_letters: %(dead)s}
time: {pane: 1h, disorder: 30m, idle_after: 2s}
alerts: {budget: 1 per week}
%(more)s
models:
  flight-delay:
    task: binary
    reference: %(reference)s
    slices: [carrier, origin, [carrier, origin]]
    windows: [1d, 7d]
    labels: {max_delay: 48h}
"""


class Message(NamedTuple):
    """A message with when it comes (ms): `topic` is 0 for predictions and 1 for labels."""

    arrival: int
    topic: int
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Flights:
    """The messages in the order they come, and what they should lead to.

    `pairs` has a row for every pair with the flight's columns, `since` (ms), the first `label` and
    the place `came` of its message; `corrected` and the place `changed` of the correction's, where
    there is one that is in time. `events` are the numbers that `JoinCounts` must show.
    """

    messages: Sequence[Message]
    predictions: pd.DataFrame
    pairs: pd.DataFrame
    events: Mapping[str, int]


def flights(start_ms: int | None = None, end_ms: int | None = None, seed: int = 3) -> Flights:
    """Return the flights of a period with the trouble drawn for them."""
    rng = np.random.default_rng(seed)
    table = dataset.read(start_ms, end_ms)
    frame = table.to_pandas().reset_index(drop=True)
    frame["id"] = dataset.prediction_ids(table)
    frame["version"] = frame["model_version"].astype(str)
    frame["time"] = frame["timestamp"].astype(np.int64)
    messages = [
        Message(time, 0, key, value)
        for time, (key, value) in zip(
            frame["time"].tolist(), dataset.prediction_events(table), strict=True
        )
    ]
    again = np.flatnonzero(rng.random(len(frame)) < 0.02)
    messages += [
        messages[i]._replace(arrival=messages[i].arrival + int(rng.integers(1, 3 * HOUR)))
        for i in again.tolist()
    ]
    told = frame.loc[frame["label"].notna(), ["id", "time", "label", "label_timestamp"]].copy()
    told["label"] = told["label"].astype(int)
    told["at"] = told["label_timestamp"].astype(np.int64)
    late = rng.random(len(told)) < 0.005
    told.loc[late, "at"] = told.loc[late, "time"] + MAX_DELAY + 1 + rng.integers(0, HOUR)
    twice = rng.random(len(told)) < 0.02
    changed = rng.random(len(told)) < 0.03
    later = told["at"].to_numpy() + rng.integers(1, 12 * HOUR, len(told))
    columns = (told["id"], told["label"], told["at"], twice, changed, later)
    for name, label, at, doubled, corrected, then in zip(*map(list, columns), strict=True):
        body = {"prediction_id": name, "timestamp": int(at), "model": dataset.MODEL}
        value = json.dumps({**body, "label": int(label)}).encode()
        messages.append(Message(int(at), 1, name.encode(), value))
        if doubled:
            messages.append(Message(int(at) + 60_000, 1, name.encode(), value))
        if corrected:
            body |= {"timestamp": int(then), "label": 1 - int(label), "label_version": 1}
            messages.append(Message(int(then), 1, name.encode(), json.dumps(body).encode()))
    messages.sort(key=lambda message: (message.arrival, message.topic))
    pairs = _joined(frame, messages)
    return Flights(
        messages,
        frame,
        pairs,
        {
            "predictions": len(frame) + len(again),
            "duplicates": len(again),
            "joined": len(pairs),
            "labels": sum(message.topic for message in messages),
        },
    )


def _joined(frame: pd.DataFrame, messages: Sequence[Message]) -> pd.DataFrame:
    """Join by the plainest rules: in time, the first, and the highest version."""
    rows = [
        (
            place,
            body["prediction_id"],
            body["timestamp"],
            body["label"],
            body.get("label_version", 0),
        )
        for place, message in enumerate(messages)
        if message.topic
        for body in [json.loads(message.value)]
    ]
    labels = pd.DataFrame(rows, columns=["place", "id", "at", "told", "rank"])
    both = labels.merge(frame[["id", "time"]], on="id")
    both = both[both["at"] <= both["time"] + MAX_DELAY].sort_values("place")
    first = both.drop_duplicates("id").set_index("id")
    later = both[both["rank"] > first.loc[both["id"], "rank"].to_numpy()]
    later = later.drop_duplicates("id").set_index("id")
    pairs = frame[frame["id"].isin(first.index)].set_index("id")
    pairs["label"] = first["told"]
    pairs["came"] = first["place"]
    pairs["since"] = np.maximum(first["at"], first["time"])
    pairs["changed"] = later["place"].reindex(pairs.index).fillna(len(messages)).astype(np.int64)
    pairs["corrected"] = later["told"].reindex(pairs.index).fillna(pairs["label"]).astype(np.int64)
    return pairs.reset_index()


def planned(folder: Path, **settings: str) -> Plan:
    """Return the plan of a configuration in `folder`, with January and February as reference."""
    config = folder / "flights.yaml"
    if not config.exists():
        configure(folder, **settings)
    return plan(load(config), config)


def configure(folder: Path, **settings: str) -> Path:
    """Write a configuration to a folder, and a reference unless it is there; return its path."""
    reference = folder / "flights.reference.json"
    if not reference.exists():
        _profile(folder / "training.parquet", reference)
    words = {
        "bootstrap": "localhost:1",
        "predictions": "predictions",
        "labels": "labels",
        "alerts": "flights.alerts",
        "dead": "flights.dead",
        "more": "",
        "reference": str(reference),
    }
    config = folder / "flights.yaml"
    config.write_text(CONFIG % (words | settings))
    return config


def _profile(data: Path, reference: Path) -> None:
    pq.write_table(dataset.training_table(), data)
    slices = [word for names in SLICED[1:] for word in ("--slice", ",".join(names))]
    ignored = [
        word for n in ("flight", "scheduled_date", "model_version") for word in ("--ignore", n)
    ]
    command = [sys.executable, "-m", "streamgauge", "profile", str(data), "-o", str(reference)]
    done = subprocess.run(
        [*command, "--model", dataset.MODEL, *slices, *ignored],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)


def polls(messages: Sequence[Message]) -> Iterator[tuple[int, RawMessages]]:
    """Yield polls of one partition for each topic, with how many messages have come by then."""
    offsets = [0, 0]
    for begin in range(0, len(messages), POLL):
        part = messages[begin : begin + POLL]
        numbers = []
        for message in part:
            numbers.append(offsets[message.topic])
            offsets[message.topic] += 1
        yield (
            begin + len(part),
            RawMessages(
                [message.value for message in part],
                [message.key for message in part],
                np.array([message.topic for message in part], np.int32),
                np.array(numbers, np.int64),
                np.full(len(part), -1, np.int64),
            ),
        )


@dataclass
class Verdict:
    """What was compared, and what of it was not the same."""

    rows: int = 0
    windows: int = 0
    different: list[str] = field(default_factory=list)
    auc_checked: int = 0
    auc_broken: int = 0
    largest_bound: float = 0.0
    largest_error: float = 0.0
    auc_of_many: int = 0
    """Those with `MANY` labels or more."""
    largest_bound_of_many: float = 0.0
    largest_error_of_many: float = 0.0


def judge(found: Flights) -> Verdict:
    """Run the flights through a pipeline, and compare at all times."""
    verdict = Verdict()
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(planned(Path(folder)), MemoryStores())
    pipeline.assign([("predictions", 0), ("labels", 0)], 0.0)
    engine = pipeline.engines[dataset.MODEL]
    rows = RowsOf(found.pairs)
    looked: dict[str, int] = {}
    for read, messages in polls(found.messages):
        outcome = pipeline.process(messages, frozenset(), float(read))
        if outcome.rejected:
            verdict.different.append(f"{len(outcome.rejected)} messages are refused")
        for window in stream_of(engine).track.windows:
            if window.end is not None and window.end >= looked.get(window.spec.name, 0) + BETWEEN:
                looked[window.spec.name] = window.end
                pairs = rows.inside(read, window.end - window.spec.length_ms, window.end)
                judge_window(verdict, engine, window.totals(), rows, pairs, read)
    pipeline.process(messages_of_none(), frozenset({0, 1}), float(len(found.messages) + 10_000))
    judge_totals(verdict, engine, found)
    return verdict


def messages_of_none() -> RawMessages:
    """Return a poll that brings nothing."""
    none = np.empty(0, np.int64)
    return RawMessages([], [], none.astype(np.int32), none, none)


def stream_of(engine: ModelEngine) -> OutcomeStream:
    """Return what is kept of an engine's outcomes."""
    assert engine.outcomes is not None
    return engine.outcomes._stream  # noqa: SLF001 - the sums are nobody else's business


class RowsOf:
    """Pairs by the rows that they count in, in the order of `since`."""

    def __init__(self, pairs: pd.DataFrame) -> None:
        frame = pairs.sort_values("since", kind="stable")
        self.since = frame["since"].to_numpy(np.int64) // HOUR * HOUR
        self.came = frame["came"].to_numpy(np.int64)
        self.changed = frame["changed"].to_numpy(np.int64)
        self.first = frame["label"].to_numpy(np.int64)
        self.then = frame["corrected"].to_numpy(np.int64)
        self.predicted = frame["prediction"].to_numpy(np.int64)
        self.score = frame["score"].to_numpy(np.float64)
        self.keys: list[RowKey] = []
        self.codes: list[npt.NDArray[np.intp]] = []
        for names in SLICED:
            columns = ["version", *names]
            groups = frame.groupby(columns, sort=True)
            base = len(self.keys)
            for (version, *rest), _ in groups:
                self.keys.append(RowKey(str(version), tuple(zip(names, rest, strict=True))))
            self.codes.append(groups.ngroup().to_numpy(np.intp) + base)

    def inside(self, read: int, start: int, end: int) -> npt.NDArray[np.intp]:
        """Return the pairs known after so many messages that count between two times (ms)."""
        low, high = np.searchsorted(self.since, [start, end])
        places = np.arange(low, high)
        known: npt.NDArray[np.intp] = places[self.came[low:high] < read]
        return known

    def labels(self, places: npt.NDArray[np.intp], read: int) -> IntArray:
        """Return the labels of pairs as they were after so many messages."""
        labels: IntArray = np.where(
            self.changed[places] < read, self.then[places], self.first[places]
        )
        return labels


def judge_window(
    verdict: Verdict,
    engine: ModelEngine,
    block: Block,
    rows: RowsOf,
    pairs: npt.NDArray[np.intp],
    read: int,
) -> None:
    """Compare the confusions of all rows of a window, and their AUC with that of the scores."""
    layout: OutcomeLayout = stream_of(engine).layout
    label = rows.labels(pairs, read)
    expected = np.zeros((len(rows.keys), 4), np.int64)
    for codes in rows.codes:
        np.add.at(expected, (codes[pairs], 2 * label + rows.predicted[pairs]), 1)
    registry = engine.registry
    places = {registry.keys[row]: at for at, row in enumerate(block.rows.tolist())}
    nothing = np.zeros(4, np.int64)
    confusion = block.counts[:, layout.confusion].astype(np.int64)
    for key, mine in zip(rows.keys, expected, strict=True):
        at = places.pop(key, None)
        if not np.array_equal(nothing if at is None else confusion[at], mine):
            verdict.different.append(f"window of {key} after {read} messages")
    if any(confusion[at].any() for at in places.values()):
        verdict.different.append(f"window after {read} messages has rows of nothing")
    verdict.windows += 1
    figures = binary_figures(binary_sums(layout, block)).auc
    at_of = {registry.keys[row]: at for at, row in enumerate(block.rows.tolist())}
    for codes in rows.codes:
        order = np.argsort(codes[pairs], kind="stable")
        cuts = np.flatnonzero(np.diff(codes[pairs][order])) + 1
        for group in np.split(order, cuts):
            if len(group):
                at = at_of[rows.keys[int(codes[pairs[group[0]]])]]
                truth, score = label[group] == 1, rows.score[pairs[group]]
                _judge_auc(verdict, figures.estimate.value[at], figures.bound[at], truth, score)


def _judge_auc(
    verdict: Verdict, value: float, bound: float, truth: BoolArray, score: FloatArray
) -> None:
    positive = int(truth.sum())
    if positive in (0, len(truth)):
        return
    # Mann and Whitney's form is the same number, and ten times as quick: every hundredth is asked.
    ranks = float(rankdata(score)[truth].sum()) - positive * (positive + 1) / 2
    auc = ranks / (positive * (len(truth) - positive))
    if verdict.auc_checked % 100 == 0:
        assert abs(auc - roc_auc_score(truth, score)) < 1e-9
    error = abs(value - auc)
    verdict.auc_checked += 1
    verdict.auc_broken += bool(error > bound + 1e-12)
    verdict.largest_bound = max(verdict.largest_bound, float(bound))
    verdict.largest_error = max(verdict.largest_error, error)
    if len(truth) >= MANY:
        verdict.auc_of_many += 1
        verdict.largest_bound_of_many = max(verdict.largest_bound_of_many, float(bound))
        verdict.largest_error_of_many = max(verdict.largest_error_of_many, error)


def judge_totals(verdict: Verdict, engine: ModelEngine, found: Flights) -> None:
    """Compare every count and sum of all rows since the start, the join and the cohorts."""
    stream = stream_of(engine)
    pairs = found.pairs.assign(
        label=found.pairs["corrected"].astype(str),
        prediction=found.pairs["prediction"].astype(str),
        is_weekend=found.pairs["is_weekend"].map({True: "true", False: "false"}),
    )
    rates = None if stream.estimator is None else stream.estimator.rates()
    block = stream.track.counted()
    places = {engine.registry.keys[row]: at for at, row in enumerate(block.rows.tolist())}
    for key, mine in rows_of(pairs, SLICED):
        counts, sums = counted(stream.layout, mine, None if rates is None else rates.wrong)
        at = places.pop(key, None)
        same = at is not None and np.array_equal(block.counts[at], counts)
        if not same or not np.allclose(block.sums[at], sums, rtol=1e-9, atol=1e-9):
            verdict.different.append(f"total of {key}")
        verdict.rows += 1
    if any(block.counts[at].any() for at in places.values()):
        verdict.different.append("there are totals of rows of nothing")
    assert engine.outcomes is not None
    join = engine.outcomes.counts()
    for name, count in found.events.items():
        if getattr(join, name) != count:
            verdict.different.append(f"join: {name} is {getattr(join, name)}, not {count}")
    _judge_cohorts(verdict, engine, found)


def _judge_cohorts(verdict: Verdict, engine: ModelEngine, found: Flights) -> None:
    """Compare the predictions and labels of the steps that are kept, in whole versions."""
    cohorts = stream_of(engine).cohorts
    seen: dict[tuple[int, str], Any] = {}
    for step, kept in cohorts._light.items():  # noqa: SLF001
        block = kept.block()
        for row, counts in zip(block.rows.tolist(), block.counts, strict=True):
            key = engine.registry.keys[row]
            if not key.slice:
                seen[step, key.version] = counts.tolist()
    pairs = found.pairs
    cells = 2 + 2 * pairs["corrected"] + pairs["prediction"]
    parts = [
        (found.predictions, found.predictions["prediction"].astype(np.int64)),
        (pairs, cells.astype(np.int64)),
    ]
    expected: dict[tuple[int, str], list[int]] = {}
    for frame, kinds in parts:
        steps = frame["time"] // cohorts.step_ms
        for (step, version, kind), count in (
            frame.groupby([steps.rename("step"), "version", kinds.rename("kind")]).size().items()
        ):
            if step >= cohorts._first:  # noqa: SLF001
                expected.setdefault((step, version), [0] * 6)[kind] += count
    if seen != expected:
        verdict.different.append("cohorts")
