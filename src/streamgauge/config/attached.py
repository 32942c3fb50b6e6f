"""The section of one attached detector of the River library."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from streamgauge.config.environment import FromEnvironment
from streamgauge.config.places import Place
from streamgauge.config.section import Name, Section, default, refusal, refusals
from streamgauge.core.alerts.wording import FAULTS
from streamgauge.core.detectors.river_detectors import BINARY, factory
from streamgauge.core.detectors.specs import AttachedSpec, Feed
from streamgauge.core.layout import STATUS

Parameter = bool | int | float | str

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]+)?")


class RiverName(StrEnum):
    """Detectors of the River library, by their names in lower case."""

    ADWIN = "adwin"
    PAGE_HINKLEY = "page_hinkley"
    KSWIN = "kswin"
    DDM = "ddm"
    EDDM = "eddm"
    HDDM_A = "hddm_a"
    HDDM_W = "hddm_w"
    FHDDM = "fhddm"


def _parameters(value: Any) -> Mapping[str, Parameter]:
    if not isinstance(value, Mapping):
        raise refusal("must hold the detector's own parameters; write them as in {delta: 0.002}")
    return {name: _parameter(name, entry) for name, entry in value.items()}


def _parameter(name: str, value: Any) -> Parameter:
    if isinstance(value, FromEnvironment):
        if not _NUMBER.fullmatch(value):
            raise refusal(f"{name} from the environment is no number; set it to one")
        return float(value) if "." in value else int(value)
    if not isinstance(value, bool | int | float | str):
        raise refusal(f"{name} must be one value; write a number, true, false or a text")
    return value


Parameters = Annotated[
    Mapping[str, Parameter],
    PlainValidator(_parameters),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": ["number", "boolean", "string"]},
            "examples": [{"delta": 0.002}],
        }
    ),
]
"""Parameters of a detector by River's names; `DetectorConfig` checks them."""


class DetectorConfig(Section):
    """A detector of the River library that follows one series of every version.

    Its false alarms are not bounded and do not count against the budget.
    """

    detector: RiverName = Field(examples=["adwin"])
    """The detector. All but `adwin`, `page_hinkley` and `kswin` follow yes or no alone: `status`,
    or bad values of a feature, by events."""
    series: Name = Field(examples=["score"])
    """What it follows: a numeric feature, `score`, `status` (1 for a failed request), `latency` in
    seconds, or the bad values of a feature, with the name of the fault: `distance.missing`,
    `.wrong_type`, `.not_finite`, `.out_of_range` or `.unseen`."""
    feed: Feed = Feed.EVENT
    """Whether it gets every value, or the mean of each pane."""
    parameters: Parameters = default({}, examples=[{"delta": 0.002}])
    """Its parameters, by River's names; River's own values where left out."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if error := refusals(self._problems()):
            raise error
        return self

    @property
    def spec(self) -> AttachedSpec:
        """The core's specification of it."""
        parameters = tuple(self.parameters.items())
        return AttachedSpec(self.detector.value, self.series, self.feed, parameters)

    def _problems(self) -> Iterator[tuple[Place, str]]:
        feature, _, fault = self.series.rpartition(".")
        yes_or_no = self.series == STATUS.name or (feature and fault in FAULTS)
        if self.detector in BINARY and not yes_or_no:
            text = f"is no yes or no, which alone {self.detector} follows; write status or a rate"
            yield ("series",), f"{text} of bad values such as distance.missing"
        elif self.detector in BINARY and self.feed is Feed.PANE:
            text = f"makes a share of what {self.detector} takes as 0 or 1; write event"
            yield ("feed",), text
        else:
            try:
                factory(self.spec)
            except ValueError as error:
                yield ("parameters",), f"{error}; correct it, or leave it out"
