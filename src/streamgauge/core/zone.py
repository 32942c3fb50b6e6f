"""Time zones as tables: what clocks on the wall show at a moment."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streamgauge.core.batch import IntArray


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone: `offsets (k + 1,)` ahead of UTC in ms, each until the next of the changes.

    `changes (k,)` are moments in ms that ascend. Zones of one name are equal.
    """

    name: str
    changes: IntArray = field(repr=False, compare=False)
    offsets: IntArray = field(repr=False, compare=False)

    def local(self, timestamp: IntArray) -> IntArray:
        """Return what local clocks show at moments `(n,)`, in ms as if they were in UTC."""
        at = np.searchsorted(self.changes, timestamp, side="right")
        return timestamp + self.offsets[at]


UTC_ZONE: Final = Zone("UTC", np.empty(0, np.int64), np.zeros(1, np.int64))
