"""Native label events for tests, decoded ones as plain values, and a second reading of the rules.

The oracle is slow and plain on purpose: it shares no code with the package.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamgauge.core.batch import Categories, LabelBatch, ModelSchema, Task
from streamgauge.formats.messages import DecodedLabels, RawMessages
from tests.support.native_events import T0, Refused
from tests.support.native_oracle import (
    RefusedError,
    is_name,
    is_number,
    read_document,
    read_identity,
    require,
)

KNOWN = {"prediction_id", "timestamp", "model", "label", "label_version"}


def label(**changes: Any) -> dict[str, Any]:
    """A good label event of `native_events.BINARY`; `...` takes a field away."""
    fields = {
        "prediction_id": "p1",
        "timestamp": T0,
        "model": "flight-delay",
        "label": 1,
        "label_version": 1,
    }
    return {name: value for name, value in (fields | changes).items() if value is not ...}


@dataclass(frozen=True)
class Label:
    """One label as plain values."""

    prediction_id: str
    timestamp: int
    partition: int
    label: str | float
    version: int


@dataclass
class Poll:
    """What became of a poll: each model's labels and all dead letters, in order, and the counts."""

    labels: dict[str, list[Label]] = field(default_factory=lambda: defaultdict(list))
    refused: dict[int, Refused] = field(default_factory=dict)
    tombstones: int = 0
    unknown_models: int = 0
    unknown_fields: int = 0


def read_back(decoded: DecodedLabels, n: int) -> Poll:
    """What a decoder made of `n` messages."""
    rejected = decoded.rejected
    poll = Poll(
        labels={batch.schema.model: read_batch(batch) for batch in decoded.batches},
        refused={each.index: Refused(each.reason.value, each.field) for each in rejected},
        tombstones=decoded.tombstones,
        unknown_models=decoded.unknown_models,
        unknown_fields=decoded.unknown_fields,
    )
    assert [each.index for each in rejected] == sorted(poll.refused)
    assert len(poll.labels) == len(decoded.batches)
    assert all(poll.labels.values())
    lost = decoded.tombstones + decoded.unknown_models + len(rejected)
    assert sum(map(len, poll.labels.values())) + lost == decoded.accepted + lost == n
    return poll


def read_batch(batch: LabelBatch) -> list[Label]:
    """The labels of a batch, row by row."""
    assert batch.timestamp.dtype == batch.version.dtype == np.int64
    assert batch.partition.dtype == np.int32
    labels: Sequence[str | float]
    if isinstance(batch.label, Categories):
        assert batch.label.codes.dtype == np.int32
        assert batch.label.codes.min() >= 0
        labels = [batch.label.values[code] for code in batch.label.codes.tolist()]
    else:
        assert batch.label.dtype == np.float64
        assert np.all(np.isfinite(batch.label))
        labels = batch.label.tolist()
    columns = (batch.timestamp.tolist(), batch.partition.tolist(), labels, batch.version.tolist())
    return [Label(*values) for values in zip(batch.ids, *columns, strict=True)]


def judge_labels(schemas: Sequence[ModelSchema], messages: RawMessages) -> Poll:
    """What has to become of a poll."""
    poll = Poll()
    for row, value in enumerate(messages.values):
        try:
            _judge(schemas, messages, row, value, poll)
        except RefusedError as error:
            poll.refused[row] = Refused(*error.args)
    return poll


def _judge(
    schemas: Sequence[ModelSchema],
    messages: RawMessages,
    row: int,
    value: bytes | None,
    poll: Poll,
) -> None:
    if value is None:
        poll.tombstones += 1
        return
    document = read_document(value)
    tasks = {schema.model: schema.task for schema in schemas}
    task = tasks.get(document["model"])
    if task is None:
        poll.unknown_models += 1
        return
    prediction_id, timestamp = read_identity(
        document, messages.keys[row], int(messages.broker_timestamp[row])
    )
    truth = document.get("label")
    require(is_number(truth) if task is Task.REGRESSION else is_name(truth), "label")
    version = document.get("label_version")
    if version is None:
        version = 0
    require(isinstance(version, int) and not isinstance(version, bool), "label_version")
    require(0 <= version < 2**63, "label_version")
    read = Label(
        prediction_id=prediction_id,
        timestamp=timestamp,
        partition=int(messages.partition[row]),
        label=float(truth) if task is Task.REGRESSION and truth is not None else str(truth),
        version=version,
    )
    poll.labels[document["model"]].append(read)
    poll.unknown_fields += len(document.keys() - KNOWN)
