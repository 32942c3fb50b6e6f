"""Scores in Arrow columns: a probability, or of several classes a struct or a map."""

import math
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import (
    BoolArray,
    Categories,
    FloatArray,
    IntArray,
    ModelSchema,
    Task,
)
from streamgauge.formats.arrow_cells import Cells, Kind
from streamgauge.formats.arrow_fields import NUMBERS, Verdicts, read_numbers
from streamgauge.formats.checks import PROBABILITY_TOLERANCE

_NEAR: Final = 1e-9
"""Sums so near to what is tolerated are taken again exactly."""
_NO_INTEGERS: Final = np.empty(0, np.int64)
_NO_NUMBERS: Final = np.empty(0)


def read_scores(
    cells: Cells | None,
    schema: ModelSchema,
    prediction: Categories | FloatArray,
    verdicts: Verdicts,
) -> FloatArray:
    """The scores `(n,)`, NaN where absent; of several classes that of the predicted one."""
    if cells is None or cells.kind is Kind.NOTHING:
        return np.full(verdicts.rows, np.nan)
    if schema.task is not Task.MULTICLASS:
        scores = read_numbers(cells, "score", verdicts)
        outside = (scores < 0) | (scores > 1)
        verdicts.refuse(outside, "score", "expected a probability in [0, 1]")
        return scores
    assert isinstance(prediction, Categories)
    if cells.kind is Kind.STRUCT:
        entries = _entries_of_structs(cells, verdicts)
    elif cells.kind is Kind.MAP:
        entries = _entries_of_maps(cells, verdicts)
    else:
        detail = f"expected a struct or map of class to probability, got {cells.kind.value}"
        verdicts.refuse(cells.given, "score", detail)
        return np.full(verdicts.rows, np.nan)
    entries = _last_of_equal(entries)
    _judge(entries, cells.given, schema.classes, verdicts)
    class_of = {name: code for code, name in enumerate(entries.names)}
    own = np.array([*(class_of.get(text, -1) for text in prediction.values), -1])[prediction.codes]
    scores = np.full(verdicts.rows, np.nan)
    mine = entries.codes == own[entries.rows]
    scores[entries.rows[mine]] = entries.values[mine]
    return scores


class _Entries(NamedTuple):
    """All probabilities of all rows: `rows`, `codes` (of `names`) and `values`, each `(m,)`."""

    names: list[str]
    rows: IntArray
    codes: IntArray
    values: FloatArray


def _entries_of_structs(cells: Cells, verdicts: Verdicts) -> _Entries:
    names: dict[str, int] = {}
    rows, codes, values = [_NO_INTEGERS], [_NO_INTEGERS], [_NO_NUMBERS]
    for name, column in cells.fields():
        code = names.setdefault(name, len(names))
        if "\0" in name:
            verdicts.refuse(cells.given, "score", "holds a NUL character")
        if column.kind not in NUMBERS:
            verdicts.refuse(column.given, "score", f"expected numbers, got {column.kind.value}")
            continue
        mine = np.flatnonzero(column.given)
        rows.append(mine)
        codes.append(np.full(len(mine), code))
        values.append(column.floats()[mine])
    return _Entries(
        list(names), np.concatenate(rows), np.concatenate(codes), np.concatenate(values)
    )


def _entries_of_maps(cells: Cells, verdicts: Verdicts) -> _Entries:
    rows, keys, items = cells.entries()
    if keys.kind is not Kind.TEXT or items.kind not in NUMBERS:
        wrong = np.zeros(verdicts.rows, np.bool_)
        wrong[rows] = True
        detail = f"expected strings to numbers, got {keys.kind.value} to {items.kind.value}"
        verdicts.refuse(wrong, "score", detail)
        return _Entries([], _NO_INTEGERS, _NO_INTEGERS, _NO_NUMBERS)
    codes, names = keys.coded()
    nul = np.array([*("\0" in name for name in names), False], np.bool_)[codes]
    wrong = np.zeros(verdicts.rows, np.bool_)
    wrong[rows[nul]] = True
    verdicts.refuse(wrong, "score", "holds a NUL character")
    return _Entries(names, rows, codes.astype(np.int64), items.floats())


def _last_of_equal(entries: _Entries) -> _Entries:
    """Of a class that a row names twice the last counts, as in JSON."""
    pairs = entries.rows * (len(entries.names) or 1) + entries.codes
    _, first_from_behind = np.unique(pairs[::-1], return_index=True)
    if len(first_from_behind) == len(pairs):
        return entries
    keep = len(pairs) - 1 - first_from_behind
    return _Entries(entries.names, entries.rows[keep], entries.codes[keep], entries.values[keep])


def _judge(
    entries: _Entries, given: BoolArray, classes: tuple[str, ...], verdicts: Verdicts
) -> None:
    n = verdicts.rows
    rows, values = entries.rows, entries.values
    wrong = np.zeros(n, np.bool_)
    wrong[rows[~((values >= 0) & (values <= 1))]] = True
    verdicts.refuse(wrong, "score", "expected probabilities in [0, 1]")
    if classes:
        expected = frozenset(classes)
        known = np.array([name in expected for name in entries.names], np.bool_)[entries.codes]
        all_known = np.bincount(rows, known, n) == len(expected)
        no_other = np.bincount(rows, ~known, n) == 0
        others = given & ~(all_known & no_other)
        verdicts.refuse(others, "score", "the classes are not those of the model")
    distance = np.abs(np.bincount(rows, values, n) - 1)
    for row in np.flatnonzero(np.abs(distance - PROBABILITY_TOLERANCE) < _NEAR).tolist():
        distance[row] = abs(math.fsum(values[rows == row]) - 1)
    detail = f"the probabilities do not sum to 1 within {PROBABILITY_TOLERANCE}"
    verdicts.refuse(given & (distance > PROBABILITY_TOLERANCE), "score", detail)
