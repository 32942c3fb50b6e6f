"""The JSON Schema of the file: pydantic's own, put into words that editors understand."""

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
FROM_ENVIRONMENT: Final = r".*\$\{.+\}.*"
"""A text with a value from the environment, which may stand where a pattern or number is due."""

_BOUNDS: Final = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}


class SchemaGenerator(GenerateJsonSchema):
    """Leaves out titles that only repeat the keys; editors show the description instead."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        """Return False: no field needs a title beside its key."""
        return False


def readable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with bounds in its own keywords, titles of sections gone, and long
    descriptions in one line."""
    for section in schema["$defs"].values():
        del section["title"]
    tidied = _tidied(schema)
    assert isinstance(tidied, dict)
    return {"$schema": DIALECT, **tidied}


def _tidied(node: Any) -> Any:
    if isinstance(node, list):
        return [_tidied(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    tidied = {key: _tidied(entry) for key, entry in node.items()}
    if isinstance(tidied.get("description"), str):
        tidied["description"] = " ".join(tidied["description"].split())
    bounded = not tidied.keys().isdisjoint({*_BOUNDS, *_BOUNDS.values()})
    if bounded and tidied.get("type") in ("integer", "number"):
        # Pydantic leaves its own names where a number is read before it is bounded.
        tidied = {_BOUNDS.get(key, key): entry for key, entry in tidied.items()}
        tidied |= {"type": [tidied["type"], "string"], "pattern": f"^{FROM_ENVIRONMENT}$"}
    return tidied
