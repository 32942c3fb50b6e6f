"""Made-up customers of a telephone company, scored by a model that predicts who leaves.

    python examples/quickstart/make_data.py                          training.csv, here
    python examples/quickstart/make_data.py --events 20000 --fault   live events, a line each
    ... --bootstrap localhost:9092                                   sent to Kafka instead

Live events span the last hour. With `--fault`, from half of it on, the service sends the monthly
fee of family plans in cents. The same options give the same customers every time.
"""

import argparse
import csv
import json
import math
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MODEL = "churn"
PLANS = {"basic": (0.55, 15.0), "family": (0.30, 40.0), "pro": (0.15, 60.0)}
"""By plan: its share of the customers, and its usual monthly fee."""
THRESHOLD = 0.5

TRAINING_ROWS = 2_000
TRAINING_START_MS = 1_756_684_800_000  # 2025-09-01, a Monday
TRAINING_SPAN_MS = 28 * 86_400_000
TRAINING_SEED = 7
LIVE_SPAN_MS = 3_600_000
LIVE_SEED = 11
LABEL_DELAY_MS = 60_000
CENTS = 100.0


@dataclass(frozen=True, slots=True)
class Customer:
    """One prediction: what was sent, what the model said of it, and what came true."""

    timestamp: int
    tenure_months: float | None
    monthly_fee: float
    plan: str
    score: float
    label: int

    @property
    def prediction(self) -> int:
        """1 where the score reaches the threshold."""
        return int(self.score >= THRESHOLD)


def customers(
    rng: random.Random, times: Sequence[int], fault_from: int | None
) -> Iterator[Customer]:
    """Yield a customer for each time (ms); from `fault_from` on, family plans' fees are cents."""
    for timestamp in times:
        plan = rng.choices(list(PLANS), [share for share, _ in PLANS.values()])[0]
        fee = round(rng.gauss(PLANS[plan][1], 4.0), 2)
        tenure = float(round(rng.expovariate(1 / 24)))
        label = int(rng.random() < _probability(tenure, fee))
        if fault_from is not None and timestamp >= fault_from and plan == "family":
            fee = round(fee * CENTS, 2)
        yield Customer(
            timestamp=timestamp,
            # The service does not send everyone's tenure.
            tenure_months=None if rng.random() < 0.03 else tenure,
            monthly_fee=fee,
            plan=plan,
            score=round(_probability(tenure, fee), 6),
            label=label,
        )


def _probability(tenure: float, fee: float) -> float:
    """The model: short tenures and high fees leave; it happens to be right."""
    logit = 0.4 - 0.06 * tenure + 0.02 * (fee - 30.0)
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, logit))))


def training() -> Iterator[Customer]:
    """Yield the customers that the model was validated on, in order of time."""
    rng = random.Random(TRAINING_SEED)
    times = sorted(
        TRAINING_START_MS + rng.randrange(TRAINING_SPAN_MS) for _ in range(TRAINING_ROWS)
    )
    return customers(rng, times, None)


def write_training(path: Path) -> None:
    """Write the training data as CSV."""
    columns = ("timestamp", "tenure_months", "monthly_fee", "plan", "prediction", "score", "label")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([getattr(customer, name) for name in columns] for customer in training())


def live(count: int, end_ms: int, *, fault: bool) -> Iterator[Customer]:
    """Yield live customers, evenly over the hour before `end_ms`."""
    start = end_ms - LIVE_SPAN_MS
    times = [start + LIVE_SPAN_MS * i // count for i in range(count)]
    return customers(random.Random(LIVE_SEED), times, start + LIVE_SPAN_MS // 2 if fault else None)


def events(live_customers: Iterator[Customer]) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Yield (topic, key, event): each customer's prediction, and a minute later the label."""
    for i, customer in enumerate(live_customers):
        key = f"{customer.timestamp}-{i}"
        yield (
            "predictions",
            key,
            {
                "prediction_id": key,
                "timestamp": customer.timestamp,
                "model": MODEL,
                "model_version": "1",
                "features": {
                    "tenure_months": customer.tenure_months,
                    "monthly_fee": customer.monthly_fee,
                    "plan": customer.plan,
                },
                "prediction": customer.prediction,
                "score": customer.score,
            },
        )
        label_time = customer.timestamp + LABEL_DELAY_MS
        label = {"prediction_id": key, "timestamp": label_time, "model": MODEL}
        yield "labels", key, {**label, "label": customer.label}


def print_events(found: Iterator[tuple[str, str, dict[str, object]]], topic: str) -> None:
    """Print the events of one topic, a line each."""
    for name, _, event in found:
        if name == topic:
            sys.stdout.write(json.dumps(event) + "\n")


def send_events(found: Iterator[tuple[str, str, dict[str, object]]], bootstrap: str) -> None:
    """Send predictions and labels to their topics, keyed by prediction id."""
    from confluent_kafka import Producer

    failed: list[str] = []
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50})
    for topic, key, event in found:
        producer.produce(
            topic,
            json.dumps(event).encode(),
            key.encode(),
            on_delivery=lambda error, _: failed.append(str(error)) if error else None,
        )
        producer.poll(0)
    left = producer.flush(30)
    if failed or left:
        raise SystemExit(f"{len(failed) + left} events were not sent: {(failed or ['timeout'])[0]}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, write or send."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "training.csv")
    parser.add_argument("--events", type=int, metavar="N", help="live events instead of training")
    parser.add_argument("--fault", action="store_true", help="with the fault")
    parser.add_argument("--labels", action="store_true", help="print labels, not predictions")
    parser.add_argument("--bootstrap", metavar="SERVERS", help="send to these brokers")
    parser.add_argument("--end", type=int, metavar="MS", help="time of the last event; now")
    options = parser.parse_args(arguments)
    if options.events is None:
        write_training(options.output)
        print(f"{options.output}: {TRAINING_ROWS} rows")
        return
    end = round(time.time() * 1000) if options.end is None else options.end
    found = events(live(options.events, end, fault=options.fault))
    if options.bootstrap:
        send_events(found, options.bootstrap)
    else:
        print_events(found, "labels" if options.labels else "predictions")


if __name__ == "__main__":
    main()
