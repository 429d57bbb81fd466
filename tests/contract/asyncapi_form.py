"""The form that AsyncAPI 3.0.0 asks of a description, for the parts of it that ours has; anything else is a fault."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

_Name = Annotated[str, StringConstraints(pattern=r"^[\w.\-]+$")]
_MediaType = Annotated[str, StringConstraints(pattern=r"^[\w.+-]+/[\w.+-]+(;.*)?$")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Reference(_Form):
    target: str = Field(alias="$ref", pattern="^#/")


class _License(_Form):
    name: str
    url: str | None = None


class _Info(_Form):
    title: str
    version: str
    description: str | None = None
    license: _License | None = None


class _Parameter(_Form):
    description: str | None = None
    enum: list[str] | None = None


class _Channel(_Form):
    address: str | None
    messages: dict[_Name, _Reference]
    title: str | None = None
    description: str | None = None
    parameters: dict[_Name, _Parameter] | None = None
    bindings: dict[Literal["kafka"], dict[str, Any]] | None = None


class _Operation(_Form):
    action: Literal["send", "receive"]
    channel: _Reference
    messages: list[_Reference]
    title: str | None = None
    summary: str | None = None
    description: str | None = None


class _Payload(_Form):
    schema_format: _MediaType = Field(alias="schemaFormat")
    schema_: dict[str, Any] = Field(alias="schema")


class _Message(_Form):
    name: str | None = None
    title: str | None = None
    summary: str | None = None
    description: str | None = None
    content_type: _MediaType | None = Field(None, alias="contentType")
    headers: dict[str, Any] | None = None
    payload: _Payload | None = None
    bindings: dict[Literal["kafka"], dict[str, Any]] | None = None


class _Components(_Form):
    messages: dict[_Name, _Message]


class _Description(_Form):
    asyncapi: Literal["3.0.0"]
    info: _Info
    default_content_type: _MediaType | None = Field(None, alias="defaultContentType")
    channels: dict[_Name, _Channel]
    operations: dict[_Name, _Operation]
    components: _Components


def faults(described: dict[str, Any]) -> list[str]:
    """What is not as AsyncAPI asks, each with its place."""
    try:
        _Description.model_validate(described)
    except ValidationError as error:
        return [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    return []
