"""Labels and what comes of them: joined exactly, and estimated where they are missing.

1. The flight year goes through a pipeline, some of its predictions and labels sent twice, some
   labels corrected, some too late. All that is counted, since the start and in windows of 1 and 7
   days every twelve hours, in every slice, is held against a recount with pandas: `recount_exact`.
   The AUC of each such window and slice comes from a histogram of scores; `auc_bound_broken` is how
   many lie further from that of the scores themselves than the bound says.
   With --kafka the messages go through a broker, and `streamgauge run` has to agree too.
2. How close estimates without labels come: the mean absolute error of estimated figures against
   those that the labels show, ours and NannyML's, on NannyML's synthetic car loans (chunks of 5,000
   events; without --quick also 1,000) and on the flights since March, by week; the same for the
   constant guess that all stays as in the reference part; and how many realised figures lie in our
   95 % intervals. Ours sees histograms of the score by predicted class, the reference's by label;
   NannyML sees rows. It does not estimate Brier score and log-loss. Log-loss stands there twice:
   from the middles of the score bins, which says little where scores of 0 and 1 occur, and from the
   reference's losses by score bin.

In the car loans P(label | score) changes too, after half of the analysis part, for which no
estimate can answer; in the flights it changes with the season. Figures of predictions whose labels
still come in are those of `benchmarks.cohorts`.

NannyML is left out where it is not installed. For it, make an environment of its own:
`pip install -e '.[dev]' nannyml 'pandas<3'`.
Run with `python -m benchmarks.labels [--quick] [--json] [--kafka]`; `--quick` takes January alone.
"""

import json
from datetime import datetime
from typing import Final

from benchmarks import labels_cbpe
from benchmarks.common import Row, parser, report
from benchmarks.labels_recount import MANY, Flights, Verdict, flights, judge

FEBRUARY_MS: Final = round(datetime.fromisoformat("2013-02-01T00:00:00-05:00").timestamp() * 1000)


def main() -> None:
    """Print the tables."""
    command = parser("Labels: recounts, and estimates without them.")
    command.add_argument("--kafka", action="store_true", help="also through a broker")
    options = command.parse_args()
    year = flights(end_ms=FEBRUARY_MS if options.quick else None)
    verdict = judge(year)
    recount = recounted(year, verdict)
    if options.kafka:
        from benchmarks.labels_kafka import through_a_broker

        recount += through_a_broker(year)
    estimates = [
        row
        for chunk in ((5_000,) if options.quick else (5_000, 1_000))
        for row in labels_cbpe.rows(chunk)
    ]
    weekly = labels_cbpe.rows("W", labels_cbpe.flights(), "flights")
    if not options.json:
        report("The flight year, recounted", recount, as_json=False)
        for text in verdict.different[:10]:
            print("different:", text)
        report("Estimates without labels", [*estimates, *weekly], as_json=False)
        return
    told = {
        "benchmark": "Labels",
        "recount_exact": all(row["different"] == 0 for row in recount),
        "auc_bound_broken": verdict.auc_broken,
        "auc_largest_bound": verdict.largest_bound,
        "auc_largest_error": verdict.largest_error,
        "cbpe_mae_ratio_to_nannyml": ratio(estimates, "cbpe_mae_ratio_to_nannyml"),
        "cbpe_mae_ratio_to_nannyml_flights": ratio(weekly, "cbpe_mae_ratio_to_nannyml"),
        "cbpe_mae_ratio_to_constant": ratio(estimates, "ratio_to_constant"),
        "cbpe_mae_ratio_to_constant_flights": ratio(weekly, "ratio_to_constant"),
    }
    print(json.dumps({**told, "recount": recount, "results": [*estimates, *weekly]}))


def recounted(year: Flights, verdict: Verdict) -> list[Row]:
    """Return what was compared, a row for each kind."""
    return [
        {
            "compared": "messages, joined and counted",
            "number": len(year.messages),
            "different": len(verdict.different),
            "largest_bound": "-",
            "largest_error": "-",
        },
        {
            "compared": "rows of totals, all counts and sums",
            "number": verdict.rows,
            "different": sum("total" in text for text in verdict.different),
            "largest_bound": "-",
            "largest_error": "-",
        },
        {
            "compared": "windows, confusions of all rows",
            "number": verdict.windows,
            "different": sum("window" in text for text in verdict.different),
            "largest_bound": "-",
            "largest_error": "-",
        },
        {
            "compared": "AUC of rows of windows",
            "number": verdict.auc_checked,
            "different": verdict.auc_broken,
            "largest_bound": verdict.largest_bound,
            "largest_error": verdict.largest_error,
        },
        {
            "compared": f"those with {MANY} labels or more",
            "number": verdict.auc_of_many,
            "different": verdict.auc_broken,
            "largest_bound": verdict.largest_bound_of_many,
            "largest_error": verdict.largest_error_of_many,
        },
    ]


def ratio(rows: list[Row], name: str) -> float | None:
    """Return a ratio over the first six metrics and the first size of chunks, None without one."""
    found = next(row[name] for row in rows if row["figure"] == labels_cbpe.ALL)
    return found if isinstance(found, float) else None


if __name__ == "__main__":
    main()
