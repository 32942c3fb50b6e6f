"""The same rows through whylogs, Evidently, NannyML, River and Streamgauge, in one run.

Run with `python -m benchmarks.peers [--quick] [--json]`. A row has 18 numeric and 2 categorical
features, a score, a predicted class and 3 tags. Peers get the 20 features alone, in memory, as
frames of pandas made beforehand (River: as lists): no Kafka, no JSON, no slices, no scores, no
windows, no state that outlives the process. That is an advantage for them.

- whylogs (Apache-2.0): `why.log` of batches of 50,000;
- Evidently (Apache-2.0): drift of batches of 50,000 against a reference of 50,000;
- NannyML (Apache-2.0): univariate Jensen-Shannon drift by chunks;
- River (BSD-3-Clause): ADWIN, mean, variance and median of every number, counts of categories;
- Streamgauge: `streamgauge run` from JSON in a broker, 5 slice dimensions with some 100 slices,
  detectors, alerts, and transactional checkpoints every 5 s; from the start of reading to a lag of
  0, so it includes the first snapshot and the start of everything. And, as a second figure,
  aggregation and analysis alone, of decoded events in memory.

Each peer has a virtual environment of its own with pinned packages (`peers_environments.py`); its
settings are tried first and the fastest is measured (`peers_theirs.py`). Then all take turns, and
the median of each one's rates counts. `events_per_second` is that of `streamgauge run`;
`ratio_to_NAME` is its ratio to a peer's rows a second, null where the peer cannot be run here.
`cpu_ratio_to_NAME` is the peer's processor time for a row to that of the monitor with all its
threads, which depends less on what else the machine does.
Nothing of the peers' code is copied.
"""

import json
import os
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.common import Row, arguments, report
from benchmarks.peers_environments import PeerError, Worker, environment
from benchmarks.peers_ours import analysed, configure, decoded, fill, profiled
from benchmarks.peers_rows import DIMENSIONS, Rows, make
from benchmarks.peers_theirs import PEERS
from benchmarks.peers_worker import Took
from benchmarks.throughput import broker, monitored
from streamgauge.io.loopback import free_port

ROWS: Final = 3_000_000
QUICK_ROWS: Final = 200_000
REFERENCE_ROWS: Final = 50_000
IN_MEMORY_ROWS: Final = 300_000
ROUNDS: Final = 4
QUICK_ROUNDS: Final = 2
SECONDS: Final = 6.0
QUICK_SECONDS: Final = 2.0
OURS: Final = "streamgauge run"
IN_MEMORY: Final = "streamgauge, aggregate and analyse"


@dataclass(slots=True)
class Measured:
    """What one contender took."""

    name: str
    version: str
    setting: str
    tried: dict[str, float] = field(default_factory=dict)
    """Rates of the settings in the first trial."""
    took: list[Took] = field(default_factory=list)
    """One measurement of each round."""
    failed: str = ""

    @property
    def rate(self) -> float | None:
        """The median rate, None where there is none."""
        return median(took.rate for took in self.took) if self.took else None

    @property
    def cpu_us(self) -> float | None:
        """The median of processor time for a row (µs), None where there is none."""
        return median(took.cpu_us for took in self.took) if self.took else None


def ratio(ours: Measured, other: Measured) -> float | None:
    """Return our rate to another's; None where one of them has none."""
    if ours.rate is None or other.rate is None:
        return None
    return ours.rate / other.rate


def cpu_ratio(ours: Measured, other: Measured) -> float | None:
    """Return another's processor time for a row to ours; None where one of them has none."""
    if ours.cpu_us is None or other.cpu_us is None:
        return None
    return other.cpu_us / ours.cpu_us


def row(measured: Measured, ours: Measured) -> Row:
    """Return the figures of one contender for the table."""
    if measured.rate is None:
        return {
            "who": measured.name,
            "version": measured.version,
            "setting": f"not measured: {measured.failed}",
            "rows/s": "-",
            "lowest": "-",
            "highest": "-",
            "ours to it": "-",
            "CPU µs/row": "-",
            "its CPU to ours": "-",
        }
    return {
        "who": measured.name,
        "version": measured.version,
        "setting": measured.setting,
        "rows/s": round(measured.rate),
        "lowest": round(min(took.rate for took in measured.took)),
        "highest": round(max(took.rate for took in measured.took)),
        "ours to it": ratio(ours, measured) or "-",
        "CPU µs/row": measured.cpu_us or "-",
        "its CPU to ours": cpu_ratio(ours, measured) or "-",
    }


def measure(rows: Rows, reference: Rows, rounds: int, seconds: float) -> list[Measured]:
    """Let everybody take turns; ours come first in what is returned."""
    slices = f"JSON in Kafka, {len(DIMENSIONS)} dimensions, {sum(DIMENSIONS.values())} slices"
    own = version("streamgauge")
    ours = Measured(OURS, own, slices)
    loop = Measured(IN_MEMORY, own, "decoded events in memory, one thread")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rows.save(folder / "rows.npz")
        reference.save(folder / "reference.npz")
        theirs: list[Measured] = []
        workers: dict[str, Worker] = {}
        for name in PEERS:
            print(f"{name}: trying its settings", file=sys.stderr)
            try:
                worker = stack.enter_context(Worker(name, folder))
            except PeerError as error:
                theirs.append(Measured(name, "-", "-", failed=str(error)))
                continue
            workers[name] = worker
            theirs.append(Measured(name, worker.version, worker.setting, worker.tried))
        kind, bootstrap = stack.enter_context(broker())
        ours.setting = slices.replace("Kafka", kind)
        topic = fill(bootstrap, rows)
        profile = profiled(reference, folder)
        config = configure(topic, bootstrap, profile, free_port())
        batches = decoded(config, rows.part(0, IN_MEMORY_ROWS))
        count = len(rows.score)
        for turn in range(rounds):
            print(f"round {turn + 1} of {rounds}", file=sys.stderr)
            port = free_port()
            config = configure(topic, bootstrap, profile, port)
            run = monitored(config, port, count)
            ours.took.append(Took(count, run.seconds, run.cpu_seconds))
            for measured in theirs:
                if measured.failed:
                    continue
                try:
                    measured.took.append(workers[measured.name].measure(seconds))
                except PeerError as error:
                    measured.failed, measured.took = str(error), []
            loop.took.append(analysed(config, batches))
    return [ours, loop, *theirs]


def main() -> None:
    """Measure and print."""
    options = arguments("The same rows through other monitors and Streamgauge")
    for name in PEERS:
        with suppress(PeerError):  # it is told in the table
            environment(name)
    load = os.getloadavg()[0]
    found = measure(
        make(QUICK_ROWS if options.quick else ROWS, seed=1),
        make(REFERENCE_ROWS, seed=2),
        QUICK_ROUNDS if options.quick else ROUNDS,
        QUICK_SECONDS if options.quick else SECONDS,
    )
    ours, loop = found[:2]
    peers = found[2:]
    table = [row(each, ours) for each in found]
    if options.json:
        whole = {
            "benchmark": "peers",
            "events_per_second": ours.rate,
            "in_memory_events_per_second": loop.rate,
            **{f"ratio_to_{peer.name}": ratio(ours, peer) for peer in peers},
            **{f"cpu_ratio_to_{peer.name}": cpu_ratio(ours, peer) for peer in peers},
            "rows_per_second": {each.name: each.rate for each in found},
            "versions": {each.name: each.version for each in found},
            "tried": {peer.name: peer.tried for peer in peers},
            "load_before": load,
            "processors": os.cpu_count(),
            "results": table,
        }
        print(json.dumps(whole))
        return
    report("the same rows through everybody", table, as_json=False)
    print(
        "Peers have the 20 features as frames or lists in memory, without Kafka, JSON, slices,\n"
        "scores, windows or kept state: an advantage for them. Their settings, by a first trial:"
    )
    for peer in peers:
        for setting, rate in sorted(peer.tried.items(), key=lambda item: -item[1]):
            print(f"  {peer.name}: {setting}: {rate:,.0f} rows/s")
    print(f"{os.cpu_count()} processors; load before the run: {load:.1f}")


if __name__ == "__main__":
    main()
