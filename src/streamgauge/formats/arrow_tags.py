"""Tags in Arrow columns: a struct of any scalar fields, or a map."""

from typing import Final

import numpy as np

from streamgauge.core.batch import MISSING_CODE, BoolArray, Categories, CodeArray
from streamgauge.formats.arrow_cells import Cells, Kind
from streamgauge.formats.arrow_fields import NUMBERS, Verdicts
from streamgauge.formats.checks import tag_text

_SCALARS: Final = NUMBERS | {Kind.TEXT, Kind.BOOLEAN, Kind.NOTHING}
_EXPECTED: Final = "expected strings, finite numbers or booleans without a NUL character"


def read_tags(
    cells: Cells | None, wanted: tuple[str, ...], verdicts: Verdicts
) -> tuple[Categories, ...]:
    """One column for each tag that is wanted; all tags are checked."""
    found: dict[str, Categories] = {}
    if cells is None or cells.kind is Kind.NOTHING:
        pass
    elif cells.kind is Kind.STRUCT:
        for name, column in cells.fields():
            texts, wrong = _texts(column)
            verdicts.refuse(wrong, "tags", _EXPECTED)
            if "\0" in name:
                verdicts.refuse(cells.given, "tags", _EXPECTED)
            found[name] = texts
    elif cells.kind is Kind.MAP:
        rows, keys, values = cells.entries()
        texts, wrong_values = _texts(values)
        names, wrong_names = _texts(keys)
        wrong = np.zeros(verdicts.rows, np.bool_)
        wrong[rows[wrong_values | wrong_names]] = True
        verdicts.refuse(wrong, "tags", _EXPECTED)
        if keys.kind is not Kind.TEXT:
            verdicts.refuse(cells.given, "tags", "expected strings for the names of tags")
        for name in wanted:
            codes = np.full(verdicts.rows, MISSING_CODE, np.int32)
            if name in names.values:
                mine = names.codes == names.values.index(name)
                codes[rows[mine]] = texts.codes[mine]  # of one name given twice the last counts
            found[name] = Categories(codes, texts.values)
    else:
        verdicts.refuse(cells.given, "tags", f"expected a struct or map, got {cells.kind.value}")
    missing = np.full(verdicts.rows, MISSING_CODE, np.int32)
    return tuple(found.get(name, Categories(missing, ())) for name in wanted)


def _texts(cells: Cells) -> tuple[Categories, BoolArray]:
    """The tags as the texts that slices are named by, and which of them are none."""
    n = len(cells)
    if cells.kind not in _SCALARS:
        return Categories(np.full(n, MISSING_CODE, np.int32), ()), cells.given
    if cells.kind is Kind.BOOLEAN:
        return Categories(cells.booleans(), ("false", "true")), np.zeros(n, np.bool_)
    codes: CodeArray
    codes, values = cells.coded()
    texts = [str(tag_text(value)) for value in values]
    wrong = np.zeros(n, np.bool_)
    if cells.kind is Kind.REAL:
        wrong = ~np.isfinite(cells.floats()) & cells.given
    elif "\0" in "".join(texts):
        wrong = np.array([*("\0" in text for text in texts), False], np.bool_)[codes]
    return Categories(codes, tuple(texts)), wrong
