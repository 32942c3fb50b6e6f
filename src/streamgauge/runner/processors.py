"""Processors: how many this process may use, by its affinity and by its container's quota."""

import os
from pathlib import Path
from typing import Final

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time in each period of microseconds, or `max`, of cgroup v2."""


def processors(quota: Path = _QUOTA) -> int:
    """Return how many processors this process may use, one at least.

    A quota of less than two is one: what is decoded beside the loop would be taken from it.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    try:
        allowed, period = map(int, quota.read_text().split())
        count = min(count, allowed // period)
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no such file, or no quota
    return max(1, count)
