"""Text of the exposition formats: label values that cannot break a scrape, numbers, headers."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
import orjson

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.io.metrics.metric import Metric, MetricType

MAX_LABEL_LENGTH: Final = 128
"""Longest label value in characters; longer ones are cut and end in a digest of the whole."""

# Control characters but the newline, which has an escape of its own, and lone surrogates, which
# have no UTF-8 and would break the whole scrape.
_UNPRINTABLE: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*\Z")
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def label_values(texts: Sequence[str], identities: Sequence[object] | None = None) -> list[str]:
    """Return texts as escaped label values, different ones where the identities differ.

    A text is its own identity unless others are given. What cannot be shown becomes U+FFFD. Two
    texts may come out the same (made so here, or ambiguous from the start): each of those gets a
    digest of its identity, which does not depend on what else is there.
    """
    clean = [_clean(text) for text in texts]
    if len(set(clean)) < len(clean):
        seen = Counter(clean)
        known = texts if identities is None else identities
        clean = [
            _with_digest(text, repr(identity)) if seen[text] > 1 else text
            for text, identity in zip(clean, known, strict=True)
        ]
    return [text.translate(_ESCAPES) for text in clean]


def label_value(text: str) -> str:
    """Return one text as an escaped label value."""
    return _clean(text).translate(_ESCAPES)


def _clean(text: str) -> str:
    if len(text) <= MAX_LABEL_LENGTH:
        return text if _PLAIN.match(text) else _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    return _with_digest(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text), text)


def _with_digest(text: str, identity: str) -> str:
    digest = blake2b(identity.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{text[: MAX_LABEL_LENGTH - 9]}~{digest}"


def labels(names: Iterable[str], values: Iterable[str]) -> str:
    """Return the inside of a label set from escaped values: `a="x",b="y"`."""
    return ",".join(f'{name}="{value}"' for name, value in zip(names, values, strict=True))


def number(value: float) -> str:
    """Return a number as both formats spell it; the shortest text that reads back the same."""
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def numbers(values: IntArray | FloatArray) -> list[str | None]:
    """Return an array's values in C order as `number` would, None for NaN.

    The JSON writer spells finite numbers ten times as fast as `repr`, in a form that is as exact.
    """
    if not values.size:
        return []
    flat = np.ascontiguousarray(values).ravel()
    finite = np.isfinite(flat)
    spelt = np.where(finite, flat, 0)
    texts: list[str | None] = [
        *orjson.dumps(spelt, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode().split(",")
    ]
    for i in np.flatnonzero(~finite).tolist():
        texts[i] = None if np.isnan(flat[i]) else number(flat[i])
    return texts


def text_header(metric: Metric) -> str:
    """Return the lines that introduce a family in the text format 0.0.4, which has no infos.

    Samples follow, each behind a line break.
    """
    type_ = MetricType.GAUGE if metric.type is MetricType.INFO else metric.type
    return f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {type_}"


def openmetrics_header(metric: Metric) -> str:
    """Return the lines that introduce a family in OpenMetrics 1.0, as `text_header` does."""
    lines = [f"# HELP {metric.family} {metric.help}", f"# TYPE {metric.family} {metric.type}"]
    if metric.unit_suffix:
        lines.append(f"# UNIT {metric.family} {metric.unit_suffix}")
    return "\n".join(lines)
