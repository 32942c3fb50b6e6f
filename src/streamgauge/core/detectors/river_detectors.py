"""River: which of its drift detectors can be attached, and with which parameters."""

import inspect
from collections.abc import Callable
from typing import Any, Final, Protocol

from streamgauge.core.detectors.specs import AttachedSpec, Feed

NUMERIC: Final = {"adwin": "ADWIN", "page_hinkley": "PageHinkley", "kswin": "KSWIN"}
"""Detectors that take numbers, and their classes in `river.drift`."""
BINARY: Final = {
    "ddm": "DDM",
    "eddm": "EDDM",
    "hddm_a": "HDDMA",
    "hddm_w": "HDDMW",
    "fhddm": "FHDDM",
}
"""Detectors that take 0 and 1, and their classes in `river.drift.binary`."""
INVERTED: Final = frozenset({"fhddm"})
"""Detectors that find a falling share of ones: to find more errors they are fed 1 − x."""
_SIZES: Final = ("window_size", "sliding_window_size", "min_instances", "warm_start")
_LARGEST: Final = 1_000_000
"""Windows, buckets and counts beyond this only take memory, at worst all that there is."""
_MOST_TRIALS: Final = 10_000
"""Updates that a trial takes at most, so that it is over at once."""
_SEED: Final = 0
"""Fixed, so that the same events give the same findings; KSWIN alone draws random numbers."""


class RiverDetector(Protocol):
    """What a detector of River's offers."""

    @property
    def drift_detected(self) -> bool:
        """Whether the last update signalled drift; the next update then begins anew."""
        ...

    def update(self, x: float) -> object:
        """Take one value."""
        ...


def factory(spec: AttachedSpec) -> Callable[[], RiverDetector]:
    """Return what makes new detectors of a specification.

    Raises ValueError where River has no such detector, where the detector has no such parameter
    or cannot work with its value, and where it takes 0 and 1 alone but is fed shares of panes.
    """
    name = spec.detector
    if name in BINARY and spec.feed is Feed.PANE:
        msg = f"{name} takes the 0 or 1 of each event, a pane gives a share: feed it by event"
        raise ValueError(msg)
    made = _class(name)
    known = inspect.signature(made).parameters
    defaults = {key: known[key].default for key in known if key != "window"}
    given = dict(spec.parameters)
    for key, value in given.items():
        if key not in defaults:
            msg = f"{name} has no parameter {key}: it has {', '.join(defaults)}"
            raise ValueError(msg)
        _check(name, key, value, defaults[key])
    if "seed" in defaults:
        given.setdefault("seed", _SEED)

    def make() -> RiverDetector:
        detector: RiverDetector = made(**given)
        return detector

    _try(name, make, {**defaults, **given})
    return make


def _class(name: str) -> Callable[..., Any]:
    if name not in NUMERIC and name not in BINARY:
        msg = f"{name} is no detector of River's: choose {', '.join([*NUMERIC, *BINARY])}"
        raise ValueError(msg)
    # Importing River takes seconds and much memory, which those who attach nothing need not spend.
    from river import drift
    from river.drift import binary

    found: Callable[..., Any]
    found = getattr(drift, NUMERIC[name]) if name in NUMERIC else getattr(binary, BINARY[name])
    return found


def _check(name: str, key: str, value: float | int | str, default: object) -> None:
    wanted: type[object] = int if default is None else type(default)
    if not isinstance(value, wanted) and not (wanted is float and isinstance(value, int)):
        words = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}
        msg = f"{key} of {name} is {words[wanted]}, not {value!r}"
        raise ValueError(msg)
    if wanted is int and key != "seed" and isinstance(value, int) and value > _LARGEST:
        raise ValueError(f"{key} of {name} is at most {_LARGEST:,}, not {value:,}")


def _try(name: str, make: Callable[[], RiverDetector], parameters: dict[str, Any]) -> None:
    """Feed a detector until its windows are full: some parameters fail only then."""
    size = max((parameters[key] for key in _SIZES if key in parameters), default=0)
    try:
        detector = make()
        for i in range(min(1 + size, _MOST_TRIALS)):
            detector.update(i % 2)
    except (ValueError, TypeError, ArithmeticError, IndexError) as error:
        msg = f"{name} cannot work with these parameters: {error}"
        raise ValueError(msg) from error
