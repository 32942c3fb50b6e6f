"""`streamgauge profile`: from training data to a reference file."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer

from streamgauge.cli.profile_output import print_json, print_profile, progress
from streamgauge.cli.slices import slice_option
from streamgauge.config import Config, Learn, load, slice_specs
from streamgauge.config.zones import zone
from streamgauge.core.batch import Task
from streamgauge.core.reference import Reference, merge_references
from streamgauge.core.slices import SliceSpec
from streamgauge.core.zone import UTC_ZONE, Zone
from streamgauge.errors import UsageError
from streamgauge.formats.data_files import DataFormat
from streamgauge.formats.event_time import TimestampUnit
from streamgauge.formats.profiling import Profile, ProfileRequest
from streamgauge.formats.profiling import profile as make_profile
from streamgauge.formats.reference_file import read_reference, write_reference
from streamgauge.formats.table import TableOptions


def profile(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Parquet, CSV or NDJSON files (.gz too), or folders of them; with --merge,"
            " reference files.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="REF", help="The reference file to write."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Take task, slices and output from a configuration."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The model's id; of events of several models, the one to profile."),
    ] = None,
    task: Annotated[
        Task | None, typer.Option(help="What the model predicts; else guessed.")
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option(
            "--slice",
            help="Count apart by a column, columns crossed, or ranges:"
            " carrier | carrier,origin | distance:500:1500. Repeatable.",
        ),
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS", help="The positive class of a binary model; else the last in order."
        ),
    ] = None,
    prediction_column: Annotated[str, typer.Option(help="The model's output.")] = "prediction",
    score_column: Annotated[
        str, typer.Option(help="The probability of the positive class.")
    ] = "score",
    label_column: Annotated[str, typer.Option(help="The truth.")] = "label",
    timestamp_column: Annotated[str, typer.Option(help="The event time.")] = "timestamp",
    label_timestamp_column: Annotated[
        str, typer.Option(help="When the truth became known.")
    ] = "label_timestamp",
    timestamp_unit: Annotated[
        Literal["s", "ms", "us", "ns"] | None,
        typer.Option(help="What integer times count; else ms.", show_default=False),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="Whose hours of the week to count by, such as America/New_York; else UTC.",
        ),
    ] = None,
    numeric: Annotated[
        list[str] | None, typer.Option(help="Count a column as numbers. Repeatable.")
    ] = None,
    categorical: Annotated[
        list[str] | None, typer.Option(help="Count a column as categories. Repeatable.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Leave a column out. Repeatable.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="A column to slice by that is no feature. Repeatable."),
    ] = None,
    file_format: Annotated[
        DataFormat | None, typer.Option("--format", help="Where the names do not tell it.")
    ] = None,
    nan_is_missing: Annotated[
        bool, typer.Option("--nan-is-missing", help="Count NaN as missing.")
    ] = False,
    edges_from: Annotated[
        Path | None,
        typer.Option(metavar="REF", help="Count in the bins of this reference: no first pass."),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="DATA are references with the same bins: add them up.")
    ] = False,
    meta: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Note something in the reference. Repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output file.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a summary as one JSON object.")
    ] = False,
) -> None:
    """Build a reference from training or validation data.

    Columns prediction, score, label, timestamp and label_timestamp are known by name; the others
    are features.

    Example: streamgauge profile training.csv -o churn.reference.json --slice plan
    """
    settings = _settings(config, model)
    target = output or settings.output
    if target is None:
        raise UsageError("no output file; name it with -o REF")
    if target.exists() and not force:
        raise UsageError(f"{target}: exists already; replace it with --force")
    started = time.monotonic()
    if merge:
        if edges_from or slices or config or positive or timezone is not None:
            raise UsageError("--merge adds up references as they are; leave out the other options")
        made = Profile(_merged(data, _metadata(meta)), {}, ())
    else:
        request = ProfileRequest(
            paths=tuple(data),
            model=settings.model or _stem(target),
            options=TableOptions(
                prediction=prediction_column,
                score=score_column,
                label=label_column,
                timestamp=timestamp_column,
                label_timestamp=label_timestamp_column,
                numeric=frozenset(numeric or ()),
                categorical=frozenset(categorical or ()),
                ignored=frozenset(ignore or ()),
                tags=frozenset(tag or ()),
                timestamp_unit=timestamp_unit or settings.timestamp_unit,
                nan_is_missing=nan_is_missing,
                model=settings.model,
            ),
            format=file_format,
            task=task or settings.task,
            slices=tuple(map(slice_option, slices or ())) or settings.slices,
            meta=_metadata(meta),
            bins_of=read_reference(edges_from) if edges_from else None,
            zone=_zone(settings.timezone if timezone is None else timezone),
            positive=positive or "",
        )
        with progress(quiet=as_json) as report:
            made = make_profile(request, report)
    write_reference(made.reference, target)
    seconds = time.monotonic() - started
    (print_json if as_json else print_profile)(made, target, seconds)


class _Settings(NamedTuple):
    """What a configuration says of the model to profile."""

    model: str | None = None
    task: Task | None = None
    slices: tuple[SliceSpec, ...] = ()
    output: Path | None = None
    timestamp_unit: TimestampUnit = "ms"
    timezone: str = UTC_ZONE.name


def _settings(path: Path | None, model: str | None) -> _Settings:
    if path is None:
        return _Settings(model)
    config = load(path)
    name = _only_model(config, path) if model is None else model
    if name not in config.models:
        raise UsageError(f"--model: {path} has {', '.join(config.models)}, but not {name!r}")
    chosen = config.models[name]
    return _Settings(
        model=name,
        task=chosen.task,
        slices=slice_specs(chosen),
        output=chosen.reference if isinstance(chosen.reference, Path) else None,
        timestamp_unit=config.events.timestamp_unit.value,
        timezone=(
            chosen.reference.timezone if isinstance(chosen.reference, Learn) else UTC_ZONE.name
        ),
    )


def _only_model(config: Config, path: Path) -> str:
    if len(config.models) > 1:
        raise UsageError(f"{path} has several models; choose one with --model NAME")
    return next(iter(config.models))


def _merged(paths: Sequence[Path], meta: dict[str, str]) -> Reference:
    """Return the sum of the references at some paths, with metadata added."""
    if len(paths) < 2:
        raise UsageError("--merge needs two references or more")
    parts = [read_reference(path) for path in paths]
    seen: dict[str, Path] = {}
    for path, part in zip(paths, parts, strict=True):
        for source in part.sources:
            other = seen.setdefault(source.sha256, path)
            if other != path or paths.count(path) > 1:
                raise UsageError(f"{path} and {other} both count {source.name}; merge it once")
    try:
        merged = reduce(merge_references, parts)
    except ValueError as error:
        raise UsageError(f"--merge: {error}") from None
    return replace(merged, meta={**merged.meta, **meta})


def _zone(name: str) -> Zone:
    try:
        return zone(name)
    except ValueError as error:
        raise UsageError(f"--timezone: {error}") from None


def _metadata(entries: Sequence[str] | None) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in entries or ()]
    for key, sign, _ in pairs:
        if not key or not sign:
            raise UsageError(f"--meta {key}: write KEY=VALUE")
    return {key: value for key, _, value in pairs}


def _stem(path: Path) -> str:
    """Return the model's id that a file name suggests: `churn` for `churn.reference.json`."""
    return path.name.removesuffix(".json").removesuffix(".reference")
