"""State records: packing, unpacking, and restoring from a broker.

Run with `python -m benchmarks.state [--quick] [--json]`. Count blocks are made up as the engine's
are: 500 slice rows with a traffic that differs a thousandfold, over 400 cells. Restoring reads
50 MB of packed state from Apache Kafka on this machine, where Java is; "all of it" is what a
takeover adds up to: read, verify, unpack.
"""

import time
from collections.abc import Mapping

import numpy as np
from confluent_kafka import Producer

from benchmarks.common import Row, arguments, best_seconds, report
from streamgauge.core.blocks import Block
from streamgauge.core.state import Part, Plain, block_data
from streamgauge.formats.plain_data import pack, unpack
from streamgauge.formats.state_journal import StateJournal
from streamgauge.formats.state_restore import restore
from streamgauge.io.kafka.state_topic import StateReader
from tests.support.apache_kafka import ApacheKafka, why_unavailable
from tests.support.topics import new_topic

APP = "benchmark"
ROWS, CELLS, NUMERIC = 500, 400, 12


def count_block(rng: np.random.Generator, traffic: float) -> Plain:
    """Return a block of the engine's form as plain data; a row has about `traffic` events."""
    events = traffic * rng.lognormal(0.0, 1.5, (ROWS, 1))
    counts = rng.poisson(events * rng.dirichlet(np.full(CELLS, 0.3)))
    sums = rng.normal(size=(ROWS, NUMERIC, 2)) * events[:, :, None]
    extremes = np.sort(rng.normal(size=(ROWS, NUMERIC, 2)), axis=-1)
    return block_data(Block(np.arange(ROWS), counts.astype(np.int64), sums, extremes))


def nbytes(data: Plain) -> int:
    """Return the memory of the arrays in some plain data."""
    if isinstance(data, np.ndarray):
        return data.nbytes
    inner = data.values() if isinstance(data, dict) else data
    return 8 if isinstance(data, int | float | str) else sum(map(nbytes, inner))


def packing(data: Mapping[str, Plain], repeats: int) -> list[Row]:
    """Measure packing and unpacking of each piece of data."""
    rows: list[Row] = []
    for name, piece in data.items():
        packed = pack(piece)
        seconds = best_seconds(
            {
                "pack": lambda piece=piece: pack(piece),  # type: ignore[misc]
                "unpack": lambda packed=packed: unpack(packed),  # type: ignore[misc]
            },
            repeats,
        )
        size = nbytes(piece)
        rows.append(
            {
                "what": name,
                "bytes": size,
                "packed": len(packed),
                "ratio": size / len(packed),
                "pack, MB/s": size / seconds["pack"] / 1e6,
                "unpack, MB/s": size / seconds["unpack"] / 1e6,
            }
        )
    return rows


def restoring(megabytes: int) -> list[Row]:
    """Measure writing and restoring that much packed state, in parts of about 100 kB."""
    rng = np.random.default_rng(3)
    blocks = [count_block(rng, 200.0) for _ in range(20)]
    count = megabytes * 1_000_000 // len(pack(blocks[0]))
    parts = [Part(f"part-{n}", n, lambda n=n: blocks[n % 20]) for n in range(count)]  # type: ignore[misc]
    began = time.perf_counter()
    changes = StateJournal(APP).changes(parts, {})
    encoded = time.perf_counter()
    with ApacheKafka() as kafka:
        topic = new_topic(kafka.bootstrap_servers, config={"cleanup.policy": "compact"})
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 5})
        writing = time.perf_counter()
        for key, value in changes.messages():
            producer.produce(topic, value, key)
        producer.flush()
        written = time.perf_counter()
        settings = {"bootstrap.servers": kafka.bootstrap_servers}
        records = StateReader(settings, "g", "c", topic).records()
        read = time.perf_counter()
        found = restore(records, APP)
        done = time.perf_counter()
    assert found is not None
    assert len(found.kept) == count
    return [
        {
            "what": f"{changes.nbytes / 1e6:.0f} MB packed in {count} parts",
            "encode, s": encoded - began,
            "write, s": written - writing,
            "read, s": read - written,
            "verify and unpack, s": done - read,
            "all of it, s": done - written,
        }
    ]


def main() -> None:
    """Measure and report."""
    args = arguments(__doc__ or "")
    rng = np.random.default_rng(1)
    data: dict[str, Plain] = {
        f"block, {traffic:g} events a row": count_block(rng, traffic)
        for traffic in (5, 200, 50_000)
    }
    data["records of 8 numbers and names, 5,000"] = [
        {"name": f"carrier-{n}", "values": rng.normal(size=8).tolist(), "n": n} for n in range(5000)
    ]
    report("State: packing", packing(data, 5 if args.quick else 30), as_json=args.json)
    if why_unavailable() is None:
        report("State: restoring", restoring(5 if args.quick else 50), as_json=args.json)


if __name__ == "__main__":
    main()
