"""The page of the settings, from each service's tree of pydantic models and from the command's options."""

from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

import typer
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from auditor.settings import AuditorSettings
from docs.generate.markdown import code, document, one_line, table
from ingest_gateway.settings import GatewaySettings
from record_processor.settings import ProcessorSettings
from rowstream.cli.main import app
from rowstream.runtime.settings import ServiceSettings, variable_name
from splitter.settings import SplitterSettings

_SERVICES: Final[Mapping[str, type[ServiceSettings]]] = {
    "ingest_gateway": GatewaySettings,
    "splitter": SplitterSettings,
    "record_processor": ProcessorSettings,
    "auditor": AuditorSettings,
}
_COMMAND: Final = [
    ("ROWSTREAM_URL", "base URL of the API that the command talks to, instead of the system in the state folder"),
    ("ROWSTREAM_API_KEY", "the API key that goes with `ROWSTREAM_URL`"),
]
_HEADERS: Final = ["variable", "type", "default", "meaning"]
_BOUNDS: Final = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_TYPES: Final = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "`true` or `false`",
    SecretStr: "text, secret",
    Path: "path of a file",
}


def page() -> str:
    """Every variable that a service or the command reads."""
    return document(
        "Settings",
        "the services' settings.py and rowstream/runtime/settings.py",
        "Services are configured by environment variables, the same names for every service. A value that is wrong "
        "stops the start and names its variable. Secrets are never logged. `rowstream up` sets the addresses of what "
        "it runs itself, and passes every other `ROWSTREAM_*` variable of its own environment on to the services.",
        "Between two levels of the tree stands a double underscore.",
        *_shared(),
        *_slices(),
        "## The command",
        "Read by `rowstream` itself; the [command's page](command.md) says which verb takes which.",
        table(["variable", "meaning"], [(code(name), text) for name, text in [*_COMMAND, *_options()]]),
    )


def _shared() -> Iterator[str]:
    yield "## Every service"
    for name, field in ServiceSettings.model_fields.items():
        model = _model(field)
        yield f"### {name}"
        yield one_line(model.__doc__)
        yield table(_HEADERS, _rows(model, name))


def _slices() -> Iterator[str]:
    for service, tree in _SERVICES.items():
        yield f"## {service}"
        for name, field in tree.model_fields.items():
            model, shared = _model(field), ServiceSettings.model_fields.get(name)
            known: Container[str] = set(_model(shared).model_fields) if shared else ()
            if any(one not in known for one in model.model_fields):
                yield one_line(model.__doc__)
                yield table(_HEADERS, _rows(model, name, but=known))


def _model(field: FieldInfo) -> type[BaseModel]:
    model = field.annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"a setting that is no group of settings: {model}")
    return model


def _rows(model: type[BaseModel], group: str, *, but: Container[str] = ()) -> Iterator[tuple[str, str, str, str]]:
    """The settings of a group, without those that every service has."""
    for name, field in model.model_fields.items():
        if name in but:
            continue
        yield code(variable_name((group, name))), _type(field), _default(field), field.description or ""


def _type(field: FieldInfo) -> str:
    kinds = [_kind(kind) for kind in get_args(field.annotation) or [field.annotation] if kind is not NoneType]
    if get_origin(field.annotation) is Literal:
        kinds = [" or ".join(code(value) for value in get_args(field.annotation))]
    bounds = [
        f"{word} {getattr(limit, name):,}"
        for limit in field.metadata
        for name, word in _BOUNDS.items()
        if hasattr(limit, name)
    ]
    return ", ".join([*kinds, *bounds])


def _kind(kind: Any) -> str:
    return _TYPES.get(kind, "")


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == "":
        return "empty"
    return code(str(value).lower() if isinstance(value, bool) else value)


def _options() -> list[tuple[str, str]]:
    """The variables that stand in for options of the command, with the verbs that take them."""
    group: Any = typer.main.get_command(app)
    found: dict[str, list[str]] = {}
    for verb, command in group.commands.items():
        for param in command.params:
            if param.envvar:
                found.setdefault(param.envvar, []).append(f"`{verb} {param.opts[0]}`")
    return [(name, f"the same as {', '.join(verbs)}") for name, verbs in sorted(found.items())]
