"""Reference files: JSON that people can read, versioned, without raw rows."""

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec
import orjson

from streamgauge.core.bins import NumericBins
from streamgauge.core.reference import Reference
from streamgauge.core.zone import UTC_ZONE
from streamgauge.errors import ReferenceFileError
from streamgauge.formats import json_lines
from streamgauge.formats.reference_decode import decode
from streamgauge.formats.reference_decode_field import ContentError, located
from streamgauge.formats.reference_encode import encode
from streamgauge.formats.reference_encode_field import place
from streamgauge.formats.reference_types import FORMAT, VERSION, Document, Header

ID_LENGTH: Final = 12
_AGAIN: Final = "make it again with `streamgauge profile`"


def reference_id(reference: Reference) -> str:
    """Return 12 hexadecimal digits of a digest over everything that the reference says of the data.

    The model's name, the metadata and the sources are no part of it.
    """
    layout = reference.layout
    digest = hashlib.sha256()
    bins = [
        [place(item), item.bins.edges, item.bins.groups, item.bins.center, item.bins.scale]
        if isinstance(item.bins, NumericBins)
        else [place(item), item.bins.categories, item.bins.rare, item.bins.complete]
        for item in layout.fields
    ]
    schema = layout.schema
    head = [
        VERSION,
        schema.task,
        [schema.numeric, schema.categorical, schema.boolean, schema.tags, schema.classes],
        bins,
        [[(d.name, d.bounds) for d in spec.dimensions] for spec in reference.slices],
        reference.rows,
        reference.span,
    ]
    if reference.zone != UTC_ZONE:
        head.append(reference.zone.name)
    if reference.positive:
        head.append(["positive", reference.positive])
    digest.update(orjson.dumps(head))
    _digest_counts(digest, reference)
    outcomes = reference.outcomes
    if outcomes is not None:
        # Their bins follow from those above.
        digest.update(orjson.dumps(["outcomes", outcomes.span, outcomes.zone.name]))
        _digest_counts(digest, outcomes)
    return digest.hexdigest()[:ID_LENGTH]


def _digest_counts(digest: "hashlib._Hash", reference: Reference) -> None:
    block = reference.block
    digest.update(block.counts.astype("<i8").tobytes())
    digest.update(block.sums.astype("<f8").tobytes())
    digest.update(block.extremes.astype("<f8").tobytes())
    if reference.hour_of_week is not None and reference.panes is not None:
        digest.update(reference.hour_of_week.astype("<i8").tobytes())
        digest.update(reference.panes.length_ms.to_bytes(8, "little"))
        digest.update(reference.panes.panes.astype("<i8").tobytes())
        digest.update(reference.panes.counts.astype("<i8").tobytes())


def dump_reference(reference: Reference) -> bytes:
    """Return the content of a reference's file."""
    return json_lines.dumps(encode(reference, reference_id(reference)))


def write_reference(reference: Reference, path: Path) -> None:
    """Write a reference's file in one step: whoever reads sees the old file or the whole new one.

    Raises ReferenceFileError where the file cannot be written.
    """
    content = dump_reference(reference)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ReferenceFileError(
            f"{path}: cannot be written: {error.strerror}; give another path with -o"
        ) from error


def read_reference(path: Path) -> Reference:
    """Return the reference in a file.

    Raises ReferenceFileError (a ConfigError), which names the file, the place in it and a remedy.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ReferenceFileError(
            f"{path}: there is no such file; make it with `streamgauge profile DATA -o {path}`"
        ) from None
    except OSError as error:
        raise ReferenceFileError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return load_reference(content)
    except ReferenceFileError as error:
        raise ReferenceFileError(f"{path}: {error}") from error.__cause__


def load_reference(content: bytes) -> Reference:
    """Return the reference in a file's content. Raises ReferenceFileError."""
    try:
        header = msgspec.json.decode(content, type=Header)
        _check_header(header)
        document = msgspec.json.decode(content, type=Document)
        reference = decode(document)
    except msgspec.ValidationError as error:
        where, what = located(error)
        raise ReferenceFileError(f"{where}: {what}; {_AGAIN}") from error
    except ContentError as error:
        raise ReferenceFileError(f"{error}; {_AGAIN}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReferenceFileError(_broken(content, error)) from error
    if document.id is not None and document.id != reference_id(reference):
        raise ReferenceFileError(
            f"id: the content is not what {document.id} was; {_AGAIN}, or remove the line `id` if"
            " the change is meant"
        )
    return reference


def _check_header(header: Header) -> None:
    if header.format != FORMAT:
        raise ReferenceFileError(
            f"format: is no reference file (`{FORMAT}`); make one with `streamgauge profile`"
        )
    if header.version > VERSION:
        raise ReferenceFileError(
            f"version: was made by a newer version (format {header.version}, this streamgauge"
            f" reads up to {VERSION}); update streamgauge, or {_AGAIN}"
        )
    if header.version < 1:
        raise ReferenceFileError(f"version: must be a number from 1 to {VERSION}; {_AGAIN}")


def _broken(content: bytes, error: Exception) -> str:
    if not content.strip():
        return f"is empty; {_AGAIN}"
    if "truncated" in str(error):
        return f"is cut off after {len(content):,} bytes; copy it again, or {_AGAIN}"
    return f"is no valid JSON: {error}; copy it again, or {_AGAIN}"
