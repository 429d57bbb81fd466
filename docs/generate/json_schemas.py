"""JSON schemas of OpenAPI as Markdown: the bodies, and types in a few words."""

from collections.abc import Iterator, Mapping
from typing import Any

from docs.generate.markdown import code, one_line, prose, table

Json = Mapping[str, Any]


def bodies(openapi: Json) -> Iterator[str]:
    """Every named body, with its fields."""
    for name, schema in openapi["components"]["schemas"].items():
        yield f"### {name}"
        yield prose(schema.get("description"))
        if "properties" not in schema:
            yield f"{type_of(schema)}."
            continue
        required = schema.get("required", ())
        yield table(
            ["field", "type", "meaning"],
            (
                (
                    code(field),
                    type_of(what) + ("" if field in required else ", optional"),
                    one_line(what.get("description")),
                )
                for field, what in schema["properties"].items()
            ),
        )


def type_of(schema: Json) -> str:
    """A schema in a few words; named ones are links."""
    if "$ref" in schema:
        return link(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(map(type_of, schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(map(code, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {type_of(schema['items'])}"
    kind = str(schema.get("format", schema.get("type", "anything")))
    words = {"minimum": "from {}", "maximum": "to {}", "pattern": "`{}`", "default": "default `{}`"}
    limits = [words[key].format(_number(schema[key])) for key in words if schema.get(key) is not None]
    return ", ".join([kind, *limits])


def _number(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def link(name: str) -> str:
    """A link to a named body."""
    return f"[{name}](#{name.lower()})"
