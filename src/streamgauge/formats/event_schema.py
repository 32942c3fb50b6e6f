"""JSON Schemas of the events that services write: predictions and labels."""

from typing import Any, Final

from streamgauge.formats.event_types import INT64_MAX

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ID_LIMIT: Final = 1024
"""Longest id, in bytes; the schema can only count characters."""
NO_NUL: Final = r"^[^\u0000]*$"
STATUS_LIMIT: Final = 64

Schema = dict[str, Any]

TIMESTAMP: Final[Schema] = {
    "description": "Event time: integer milliseconds since the epoch (unless the configuration "
    "names another unit), or an RFC 3339 string with an offset.",
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": INT64_MAX},
        {
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$",
        },
    ],
}
PROBABILITY: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1}


def prediction_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of a prediction event."""
    return {"$schema": DIALECT, "$id": "urn:streamgauge:schema:prediction:1", **_prediction()}


def label_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of a label event."""
    return {"$schema": DIALECT, "$id": "urn:streamgauge:schema:label:1", **_label()}


def event_schema() -> Schema:
    """Return one JSON Schema for both events, which stand under `$defs`."""
    return {
        "$schema": DIALECT,
        "$id": "urn:streamgauge:schema:event:1",
        "title": "Streamgauge event",
        "description": "A prediction event (topic predictions) or a label event (topic labels); "
        "both are keyed by prediction_id.",
        "anyOf": [{"$ref": "#/$defs/prediction"}, {"$ref": "#/$defs/label"}],
        "$defs": {"prediction": _prediction(), "label": _label()},
    }


def _identifier(description: str) -> Schema:
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": ID_LIMIT,
        "pattern": NO_NUL,
        "description": description,
    }


def _prediction() -> Schema:
    return {
        "title": "Prediction event",
        "description": "One prediction of a model. Unknown fields are ignored and counted.",
        "type": "object",
        "required": ["prediction_id", "timestamp", "model"],
        "properties": {
            "prediction_id": _identifier("Joins the label to the prediction; the message key."),
            "timestamp": TIMESTAMP,
            "model": _identifier("The model's name, as in the configuration."),
            "model_version": {
                "type": ["string", "integer", "null"],
                "pattern": NO_NUL,
                "description": "The version that made the prediction; 3 and `3` are the same.",
            },
            "features": {
                "type": ["object", "null"],
                "description": "Feature name to value; null and absent are missing values. A value "
                "of a type that is not the feature's counts as a fault of that feature.",
                "propertyNames": {"minLength": 1},
                "additionalProperties": {"type": ["number", "string", "boolean", "null"]},
            },
            "prediction": {
                "type": ["string", "number", "null"],
                "pattern": NO_NUL,
                "description": "A class (string or integer), or a number for regression.",
            },
            "score": {
                "description": "Probability of the positive class (binary), or of each class "
                "(multiclass).",
                "anyOf": [
                    PROBABILITY,
                    {"type": "object", "minProperties": 1, "additionalProperties": PROBABILITY},
                    {"type": "null"},
                ],
            },
            "tags": {
                "type": ["object", "null"],
                "description": "Slice keys that are not features.",
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
            "latency_ms": {
                "type": ["number", "null"],
                "minimum": 0,
                "description": "How long the service took, in milliseconds.",
            },
            "status": {
                "type": ["string", "null"],
                "minLength": 1,
                "maxLength": STATUS_LIMIT,
                "pattern": NO_NUL,
                "description": "`ok`, the default, or an error word. An event with an error "
                "counts for traffic and errors and may lack prediction and features.",
            },
        },
        "if": {"properties": {"status": {"enum": ["ok", None]}}},
        "then": {
            "required": ["features", "prediction"],
            "properties": {
                "features": {"type": "object"},
                "prediction": {"type": ["string", "number"]},
            },
        },
        "examples": [
            {
                "prediction_id": "p1",
                "timestamp": 1764000000000,
                "model": "flight-delay",
                "model_version": "3",
                "features": {"distance": 1400.0, "carrier": "UA"},
                "prediction": 1,
                "score": 0.83,
                "tags": {"region": "eu"},
                "latency_ms": 12.5,
                "status": "ok",
            }
        ],
    }


def _label() -> Schema:
    return {
        "title": "Label event",
        "description": "What a prediction should have been. Unknown fields are ignored and "
        "counted.",
        "type": "object",
        "required": ["prediction_id", "timestamp", "model", "label"],
        "properties": {
            "prediction_id": _identifier("The prediction that this labels; the message key."),
            "timestamp": TIMESTAMP,
            "model": _identifier("The model's name, as in the configuration."),
            "label": {
                "type": ["string", "number"],
                "pattern": NO_NUL,
                "description": "The true class (string or integer), or number for regression; 1 "
                "and `1` are the same class.",
            },
            "label_version": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": INT64_MAX,
                "description": "A higher version corrects a lower one; 0, the default, is the "
                "lowest.",
            },
        },
        "examples": [
            {
                "prediction_id": "p1",
                "timestamp": 1764003600000,
                "model": "flight-delay",
                "label": 1,
                "label_version": 1,
            }
        ],
    }
