"""What the client's settings of how to fetch come to, for a consumer that only takes values.

Run with `python -m benchmarks.fetching [--quick] [--json]`. A topic of JSON predictions on a broker
on this machine is read by `consume(10_000)` of confluent-kafka, in turns, with the client's own
settings and with those of `streamgauge.io.kafka.reader`. `ratio` is the rate of the latter to that
of the former, medians of the turns.
"""

import json
import statistics
from typing import Final

from benchmarks.common import Row, arguments, report
from benchmarks.throughput import broker, consumed
from benchmarks.throughput_stream import Stream, fill
from streamgauge.config.librdkafka import Setting
from streamgauge.io.kafka.reader import FETCHING

EVENTS: Final = 1_000_000
QUICK_EVENTS: Final = 300_000
TURNS: Final = 5
QUICK_TURNS: Final = 2
OWN: Final[dict[str, Setting]] = {}
LESS_AHEAD: Final = {"queued.max.messages.kbytes": FETCHING["queued.max.messages.kbytes"]}
SETTINGS: Final = {
    "the client's own": OWN,
    "32 MB read ahead": LESS_AHEAD,
    "ours": dict(FETCHING),
}


def main() -> None:
    """Measure and print."""
    options = arguments("How fast a consumer reads, by its settings")
    found: dict[str, list[float]] = {name: [] for name in SETTINGS}
    with broker() as (name, bootstrap):
        filled = fill(bootstrap, Stream(QUICK_EVENTS if options.quick else EVENTS))
        for _ in range(QUICK_TURNS if options.quick else TURNS):
            for kind, settings in SETTINGS.items():
                took = consumed(bootstrap, filled, settings).seconds
                found[kind].append(filled.messages / took)
    rows: list[Row] = [
        {
            "settings": kind,
            "messages/s": round(statistics.median(rates)),
            "least": round(min(rates)),
            "most": round(max(rates)),
        }
        for kind, rates in found.items()
    ]
    ratio = statistics.median(found["ours"]) / statistics.median(found["the client's own"])
    if options.json:
        print(json.dumps({"benchmark": "fetching", "broker": name, "ratio": ratio, "rows": rows}))
        return
    report(f"consume() from {name}; ours to the client's own {ratio:.2f}", rows, as_json=False)


if __name__ == "__main__":
    main()
