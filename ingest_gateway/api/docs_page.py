"""The API's page for people, made from its OpenAPI description; plain HTML that needs no script and no other server."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

Json = Mapping[str, Any]

STYLE = files("ingest_gateway").joinpath("docs_page.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'"
_CODE = re.compile(r"`([^`\n]+)`")
_METHODS = ("get", "post", "put", "patch", "delete")


def docs_page(openapi: Json) -> str:
    """Every operation of an OpenAPI description: parameters, body, answers; then the schemas they name."""
    info = openapi["info"]
    operations = "".join(_operation(*found) for found in _operations(openapi))
    schemas = "".join(_schema(name, schema) for name, schema in openapi["components"]["schemas"].items())
    intro = (
        f"<p>{escape(info.get('description', ''))}</p>"
        '<p class="links"><a href="/openapi.json">openapi.json</a> <a href="/readyz">readyz</a>'
        ' <a href="/metrics">metrics</a></p>'
    )
    body = f"{intro}<nav>{_contents(openapi)}</nav>{operations}<h2 id='schemas'>Bodies</h2>{schemas}"
    return page(f"{info['title']} {info['version']}", body)


def index_page(title: str, links: Mapping[str, str]) -> str:
    """A page with one line for each link: path and what is there."""
    rows = "".join(
        f'<tr><td><a href="{escape(path)}">{escape(path)}</a></td><td>{escape(what)}</td></tr>'
        for path, what in links.items()
    )
    return page(title, f"<table>{rows}</table>")


def page(title: str, body: str) -> str:
    """A whole HTML page around a body."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )


def _operations(openapi: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in openapi["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield method, path, methods[method]


def _contents(openapi: Json) -> str:
    links = (
        f'<li><a href="#{escape(operation["operationId"])}">{_verb(method)}<code>{escape(path)}</code></a></li>'
        for method, path, operation in _operations(openapi)
    )
    return f"<ul>{''.join(links)}</ul>"


def _operation(method: str, path: str, operation: Json) -> str:
    heading = f"{_verb(method)}<code>{escape(path)}</code>"
    parts = [
        f'<section id="{escape(operation["operationId"])}"><h2>{heading}</h2>',
        f"<p><b>{escape(operation.get('summary', ''))}.</b> {_text(operation)}</p>",
        _parameters(operation.get("parameters", ())),
        _body(operation.get("requestBody")),
        _answers(operation["responses"]),
        "</section>",
    ]
    return "".join(parts)


def _parameters(parameters: Sequence[Json]) -> str:
    rows = [
        (
            item["name"],
            item["in"],
            _type(_when_given(item["schema"]))
            + _optional(item.get("required") or item["schema"].get("default") is not None),
            _text(item),
        )
        for item in parameters
    ]
    return _table("Parameters", rows)


def _body(body: Json | None) -> str:
    if not body:
        return ""
    rows = [(_brief(media), "", _type(content["schema"]), "") for media, content in body["content"].items()]
    return _table("Body", rows)


def _answers(answers: Json) -> str:
    rows = []
    for code, answer in answers.items():
        content = answer.get("content", {"": {}})
        rows += [(code, _brief(media), _type(what.get("schema", {})), _text(answer)) for media, what in content.items()]
    return _table("Answers", rows)


def _schema(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    rows = [
        (field, "", _type(what) + _optional(field in required), _text(what))
        for field, what in schema.get("properties", {}).items()
    ]
    return f'<section id="{escape(name)}"><h3>{escape(name)}</h3><p>{_text(schema)}</p>{_table("", rows)}</section>'


def _table(title: str, rows: Sequence[tuple[str, str, str, str]]) -> str:
    """Rows of name, place, type (HTML already) and text (HTML already)."""
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(place)}</td><td>{kind}</td><td>{said}</td></tr>"
        for name, place, kind, said in rows
    )
    return f"{f'<h4>{title}</h4>' if title else ''}<table>{lines}</table>"


def _type(schema: Json) -> str:
    """A schema in a few words, as HTML; named ones are links."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = escape(str(schema.get("const", schema.get("format", schema.get("type", "")))))
    bounds = (f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema)
    default = f", default {escape(str(schema['default']))}" if schema.get("default") is not None else ""
    return " ".join((kind, *bounds)) + default


def _when_given(schema: Json) -> Json:
    """The schema of a parameter that may be left out, when it is not: nobody sends null in a query."""
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    return options[0] if len(options) == 1 else schema


def _optional(required: object) -> str:
    return "" if required else ", optional"


def _brief(media: str) -> str:
    """A media type in a word: `json`, `csv`; a problem's body has a name that says it."""
    return "" if media == "application/problem+json" else media.rpartition("/")[2].rpartition("-")[2]


def _text(item: Json) -> str:
    """A description as HTML: what stands between backquotes as code, an empty line as a line end."""
    return _CODE.sub(r"<code>\1</code>", escape(str(item.get("description", "")))).replace("\n\n", "<br>")


def _verb(method: str) -> str:
    return f'<span class="verb {method}">{method.upper()}</span>'
