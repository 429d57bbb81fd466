"""The sources file: who hands in files by S3 and by SFTP, for which organization, as which record type.

One TOML file with a table `[[s3]]` for each prefix of a bucket and a table `[[sftp]]` for each folder of a partner's
server. Paths in it are relative to the file itself.
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from rowstream.errors import Fatal
from rowstream.records import registry

_LARGEST_FILE = 1_000_000
_Plain = StringConstraints(min_length=1, max_length=1_024, pattern=r"^[^\x00-\x1f\x7f]*$")
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
_Bucket = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$")]


class WrongSources(Fatal):
    """The sources file cannot be read or says what cannot be; names the file, the table and the field."""


def _known(record_type: str) -> str:
    try:
        return registry.check(record_type)
    except registry.UnknownRecordType as error:
        raise ValueError(str(error)) from error


def _prefix(prefix: str) -> str:
    if prefix and (not prefix.endswith("/") or prefix.startswith("/")):
        # `acme` would take the objects of `acme-west/` too, which may be somebody else's.
        raise ValueError("a prefix ends with a slash and does not begin with one, such as acme/members/")
    return prefix


def _found_from(path: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / path.expanduser()


_File = Annotated[Path, AfterValidator(_found_from)]


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Name = Field(description="Names the source in logs and messages; unlike all others")
    organization: Annotated[str, _Plain] = Field(description="Whose uploads they are: the name or the id")
    record_type: Annotated[str, AfterValidator(_known)] = Field(description="What each record is")

    @property
    def organization_id(self) -> UUID | None:
        """The organization's id; None where it is called by its name."""
        try:
            return UUID(self.organization)
        except ValueError:
            return None


class S3Source(_Source):
    """Objects under a prefix of a bucket, of which events tell."""

    bucket: _Bucket = Field(description="The bucket")
    prefix: Annotated[str, AfterValidator(_prefix)] = Field(
        "", max_length=1_000, description="What the keys begin with, up to a slash; empty: all of the bucket"
    )
    suffix: str = Field("", max_length=100, description="What the keys end with, such as .csv; empty: anything")


class SftpSource(_Source):
    """Files in a folder of a partner's server, fetched every so often.

    Exactly one of `settled_seconds`, `done_marker` and `rename` says how a finished file is known, and exactly one of
    `move_to`, `mark` and `leave` what happens to a file that was taken.
    """

    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,253}$")] = Field(
        description="The server's name or address"
    )
    port: int = Field(22, ge=1, le=65_535, description="Its port")
    username: Annotated[str, _Plain] = Field(description="The name to log in with")
    private_key_file: _File = Field(description="File of the private key to log in with")
    known_hosts_file: _File = Field(description="File with the server's own key, as ssh-keyscan writes it")
    folder: Annotated[str, _Plain] = Field(".", description="The folder on the server")
    pattern: Annotated[str, _Plain] = Field("*", description="Which of its files, as a shell would, such as *.csv")
    every_seconds: float = Field(60.0, ge=1, le=86_400, description="Seconds between two looks")

    settled_seconds: float | None = Field(
        None, ge=1, le=86_400, description="Finished: size and time have not changed for so many seconds"
    )
    done_marker: str | None = Field(
        None, pattern=r"^[^/\x00-\x1f\x7f]{1,50}$", description="Finished: beside x lies x with this ending, as .done"
    )
    rename: str | None = Field(
        None,
        pattern=r"^[^/\x00-\x1f\x7f]{1,100}$",
        description="Finished: the name is no longer like this pattern, as *.part",
    )

    move_to: Annotated[str, _Plain] | None = Field(None, description="Taken ones go to this folder of the server")
    mark: str | None = Field(
        None,
        pattern=r"^[^/\x00-\x1f\x7f]{1,50}$",
        description="Beside a taken x, x with this ending is made, as .taken",
    )
    leave: Literal[True] | None = Field(None, description="Taken ones stay as they are")

    @model_validator(mode="after")
    def _one_way_each(self) -> Self:
        for names in (("settled_seconds", "done_marker", "rename"), ("move_to", "mark", "leave")):
            said = [name for name in names if getattr(self, name) is not None]
            if len(said) != 1:
                raise ValueError(
                    f"exactly one of {', '.join(names)} is needed; there is {' and '.join(said) or 'none'}"
                )
        return self


class Sources(BaseModel):
    """All that the sources file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    s3: tuple[S3Source, ...] = ()
    sftp: tuple[SftpSource, ...] = ()

    def of_object(self, bucket: str, key: str) -> S3Source | None:
        """The source that an object belongs to: the one with the longest prefix, if its suffix fits too."""
        under = [source for source in self.s3 if source.bucket == bucket and key.startswith(source.prefix)]
        longest = max(under, key=lambda source: len(source.prefix), default=None)
        return longest if longest and key.endswith(longest.suffix) and key != longest.prefix else None


def read(path: Path) -> Sources:
    """What a sources file says.

    Raises:
        WrongSources: it cannot be read, or says what cannot be.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise WrongSources(f"the sources file {path} cannot be read: {error.strerror}") from error
    if len(text) > _LARGEST_FILE:
        raise WrongSources(f"{path}: has more than {_LARGEST_FILE} bytes; is it the sources file?")
    return parse(text, path)


def parse(text: bytes, path: Path) -> Sources:
    """What this text says; `path` is the file that it is of.

    Raises:
        WrongSources: as for `read`.
    """
    try:
        said = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WrongSources(f"{path}: is not TOML: {error}") from error
    try:
        sources = Sources.model_validate(said, context={"folder": path.parent})
    except ValidationError as error:
        faults = "; ".join(_fault(said, fault["loc"], fault["msg"]) for fault in error.errors())
        raise WrongSources(f"{path}: {faults}") from None
    if clashes := "; ".join(_clashes(sources)):
        raise WrongSources(f"{path}: {clashes}")
    return sources


def _fault(said: dict[str, Any], place: tuple[int | str, ...], message: str) -> str:
    """One fault with its table and field: [[s3]] number 2 (acme), bucket: ..."""
    message = message.removeprefix("Value error, ")
    if len(place) < 2:  # noqa: PLR2004 - kind and number
        return f"{place[0] if place else 'all of it'}: {message}; the tables are [[s3]] and [[sftp]]"
    kind, number, *field = place
    table = said[str(kind)][number] if isinstance(number, int) else None
    name = table.get("name") if isinstance(table, dict) else None
    called = f" ({name})" if isinstance(name, str) else ""
    where = f"[[{kind}]] number {number + 1}{called}" if isinstance(number, int) else f"[[{kind}]]"
    return f"{where}, {'.'.join(map(str, field))}: {message}" if field else f"{where}: {message}"


S = TypeVar("S", bound=_Source)


def _clashes(sources: Sources) -> Iterator[str]:
    """What two sources may not share."""
    yield from _shared((*sources.s3, *sources.sftp), lambda one: one.name, "names")
    yield from _shared(sources.s3, lambda one: f"s3://{one.bucket}/{one.prefix}", "prefixes")
    yield from _shared(
        sources.sftp,
        lambda one: f"sftp://{one.username}@{one.host}:{one.port}/{one.folder}/{one.pattern}",
        "folders and patterns",
    )


def _shared(sources: Iterable[S], what_of: Callable[[S], str], what: str) -> Iterator[str]:
    first: dict[str, S] = {}
    for source in sources:
        said = what_of(source)
        if said in first:
            yield f"{first[said].name} and {source.name} share {said}; {what} are each for one source"
        first.setdefault(said, source)
