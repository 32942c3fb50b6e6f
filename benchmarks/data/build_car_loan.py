"""Make car_loan.parquet: `python -m benchmarks.data.build_car_loan [WHEEL]`.

Without the wheel of NannyML, pip downloads it.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

VERSION = "0.13.1"
SHA256 = {
    "reference": "e6d2e70d8bac3e892764cb96570efb1adebf8f95497e07e96746eb1d94925995",
    "analysis": "1ecfee47fbce587b423d1eb365cbb7b36265388596dca5b3e1fed0748159529b",
    "analysis_target": "017d51c34548b57e663d216ad369588fa30d6a9523f94b81ef0a2af148009560",
}
RENAMED = {"y_pred_proba": "score", "y_pred": "prediction", "repaid": "label"}
WHOLE = ("car_value", "loan_length")
ROUNDED = ("debt_to_income_ratio", "driver_tenure")
TEXTS = ("salary_range", "size_of_downpayment", "repaid_loan_on_prev_car", "prediction")


def download(folder: Path) -> Path:
    """Fetch NannyML's wheel with pip and return where it is."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), f"nannyml=={VERSION}"]
    subprocess.run(command, check=True)
    return next(folder.glob("nannyml-*.whl"))


def load(wheel: Path) -> pd.DataFrame:
    """Return the reference part and the analysis part below it.

    Raises ValueError where a file differs from the one that this was written for.
    """
    parts = {}
    with zipfile.ZipFile(wheel) as archive:
        for part, expected in SHA256.items():
            name = f"nannyml/datasets/data/synthetic_car_loan_{part}.csv"
            content = archive.read(name)
            if hashlib.sha256(content).hexdigest() != expected:
                raise ValueError(f"{name}: not the file of NannyML {VERSION}")
            with archive.open(name) as file:
                parts[part] = pd.read_csv(file, dtype=dict.fromkeys(TEXTS[:3], str))
    # The labels of the analysis part stand in a file of their own.
    analysis = parts["analysis"].merge(parts["analysis_target"], on="id", validate="1:1")
    frame = pd.concat([parts["reference"], analysis], ignore_index=True).rename(columns=RENAMED)
    frame = frame[[*WHOLE, *ROUNDED, *TEXTS, "score", "label"]]
    frame = frame.astype(dict.fromkeys((*WHOLE, "label"), "int32"))
    frame = frame.astype({"prediction": "str", "label": "str"})
    frame["repaid_loan_on_prev_car"] = frame["repaid_loan_on_prev_car"].str.lower()
    return frame.round(dict.fromkeys(ROUNDED, 3))


def main() -> None:
    """Write the file beside this one."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(sys.argv[1]) if len(sys.argv) > 1 else download(Path(folder))
        table = pa.Table.from_pandas(load(wheel), preserve_index=False).replace_schema_metadata()
    target = Path(__file__).parent / "car_loan.parquet"
    pq.write_table(table, target, compression="zstd", compression_level=19)


if __name__ == "__main__":
    main()
