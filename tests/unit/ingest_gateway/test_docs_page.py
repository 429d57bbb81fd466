"""The API's page for people: short words, marked-up text, nothing that a description could smuggle in."""

import re
from typing import Any

import pytest

from ingest_gateway.api.docs_page import docs_page

NULLABLE = {"anyOf": [{"type": "string"}, {"type": "null"}]}


def page_of(*parameters: dict[str, Any], description: str = "") -> str:
    operation = {
        "operationId": "look",
        "summary": "Look",
        "description": description,
        "parameters": parameters,
        "responses": {
            "200": {
                "content": {"text/csv": {}, "application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
            },
            "404": {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}},
        },
    }
    thing = {"properties": {"a": {"type": "string"}, "b": NULLABLE}, "required": ["a"]}
    return docs_page(
        {
            "info": {"title": "x", "version": "1"},
            "paths": {"/look": {"get": operation}},
            "components": {"schemas": {"Thing": thing}},
        }
    )


def cells(html: str, first: str) -> list[str]:
    """The texts of the cells of the line that begins with `first`."""
    (line,) = re.findall(rf"<tr><td><code>{first}</code></td>(.*?)</tr>", html)
    return [re.sub("<.*?>", "", cell) for cell in re.findall("<td>(.*?)</td>", line)]


@pytest.mark.parametrize(
    ("parameter", "shown"),
    [
        ({"schema": {"type": "string"}, "required": True}, "string"),
        ({"schema": NULLABLE}, "string, optional"),
        ({"schema": {"type": "integer", "minimum": 1, "default": 50}}, "integer from 1, default 50"),
    ],
)
def test_a_parameter_says_whether_it_may_be_left_out(parameter: dict[str, Any], shown: str) -> None:
    html = page_of({"name": "p", "in": "query", "description": "the page", **parameter})
    assert cells(html, "p") == ["query", shown, "the page"]


def test_a_field_of_a_body_may_be_null() -> None:
    html = page_of()
    assert cells(html, "a") == ["", "string", ""]
    assert cells(html, "b") == ["", "string or null, optional", ""]


def test_an_answer_names_its_form_in_a_word() -> None:
    found = re.findall(r"<code>(\d+)</code></td><td>(.*?)</td>", page_of())
    assert found == [("200", "csv"), ("200", "json"), ("404", "")]


def test_a_description_has_code_and_line_ends_and_no_html_of_its_own() -> None:
    html = page_of(description="Send `a<b`.\n\nThen `c`; <script>")
    assert "Send <code>a&lt;b</code>.<br>Then <code>c</code>; &lt;script&gt;" in html
