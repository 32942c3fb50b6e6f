"""How close estimates without labels come: NannyML's synthetic car loans, by us and by NannyML.

The mean absolute error of estimated figures against those that the labels show, over chunks of the
analysis part (5,000 events; without --quick also 1,000); the same for the constant guess that all
stays as in the reference part; and how many realised figures lie in our 95 % intervals. Ours sees
histograms of the score by predicted class, the reference's by label; NannyML sees rows. It does not
estimate Brier score and log-loss. Log-loss stands there twice: from the middles of the score bins,
which says little where scores of 0 and 1 occur, and from the reference's losses by score bin.

After half of the analysis part P(label | score) changes too, for which no estimate can answer.

NannyML is left out where it is not installed. For it, make an environment of its own:
`pip install -e '.[dev]' nannyml 'pandas<3'`.
Run with `python -m benchmarks.labels [--quick] [--json]`.
"""

from benchmarks import labels_cbpe
from benchmarks.common import arguments, report


def main() -> None:
    """Print the table."""
    options = arguments("Estimates without labels.")
    chunks = (5_000,) if options.quick else (5_000, 1_000)
    rows = [row for chunk in chunks for row in labels_cbpe.rows(chunk)]
    report("Estimates without labels", rows, as_json=options.json)


if __name__ == "__main__":
    main()
