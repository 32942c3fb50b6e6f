"""Status: what the process says of itself, to its own log, metrics and health checks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    """Where a replica is in its life."""

    STARTING = "starting"
    STANDBY = "standby"
    ACTIVE = "active"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Status:
    """One moment of a run; replaced as a whole.

    `lag` maps (topic, partition) to messages not yet read; `rate` is messages a second lately;
    times are seconds since the epoch, event times milliseconds. `counted` says whether the counts
    of messages are known, which go on from what earlier owners have counted.
    """

    phase: Phase = Phase.STARTING
    counted: bool = False
    consumed: int = 0
    rate: float = 0.0
    accepted: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    unknown_models: int = 0
    unknown_fields: int = 0
    tombstones: int = 0
    lag: Mapping[tuple[str, int], int] = field(default_factory=dict)
    watermark: int | None = None
    last_event: int | None = None
    rebalances: int = 0
    checkpoints: int = 0
    last_checkpoint: float | None = None
    state_bytes: int = 0
    spilled_bytes: int = 0
    spill_failures: int = 0
    paused: int = 0
