"""The files that the demo uploads, and what is known beforehand of each."""

import importlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rowstream.cli.demo_check import Planted
from rowstream.cli.words import count
from rowstream.errors import RowstreamError
from rowstream.records import registry, sample

_FLIGHTS, _FLIGHTS_DATA = "flights", "rowstream_flights.data"
_FLIGHTS_RECORDS = 336_776
_MEMBERS = "member_certification"
_MEMBER_RECORDS = 20_000


@dataclass(frozen=True, kw_only=True)
class DemoFile:
    """A file, and what must become of it.

    Attributes:
        path: where it is.
        record_type: what each of its records is.
        records: how many there are.
        planted: what must be rejected; everything else must be loaded.
        about: a few words for people.
        story: what there is to see when it is uploaded.
    """

    path: Path
    record_type: str
    records: int
    planted: Planted
    about: str
    story: str


class LeftOut(RowstreamError):
    """A file cannot be had here; the demo goes on without it."""


def flights(fetching: Callable[[Path], None]) -> DemoFile:
    """Real flights; downloaded once and kept in the user's cache folder.

    Args:
        fetching: called with the place if it has to be downloaded.

    Raises:
        LeftOut: the record type is not installed (or another package took its name, as the tutorial's does), or the
            file can neither be found nor downloaded.
    """
    try:
        data = importlib.import_module(_FLIGHTS_DATA)
    except ModuleNotFoundError as error:
        if not _FLIGHTS_DATA.startswith(error.name or ""):
            raise
        data = None
    if data is None or _FLIGHTS not in registry.record_types():
        raise LeftOut("the record type is not installed; it is the example in examples/flights of the source")
    try:
        path = cache_folder(os.environ.get("XDG_CACHE_HOME")) / "flights.csv"
        if not path.exists():
            fetching(path)
            data.fetch(path)
    except (data.Unavailable, RuntimeError) as error:  # RuntimeError: nobody knows the user's home
        raise LeftOut(" ".join(str(error).split())) from error
    about = f"{count(_FLIGHTS_RECORDS)} real flights of 2013, all of them good"
    story = (
        "It is sent to the object store. The splitter cuts it into chunks of 1,000 records, two record processors "
        "check every cell and load what is good, the auditor counts the outcomes."
    )
    return DemoFile(path=path, record_type=_FLIGHTS, records=_FLIGHTS_RECORDS, planted={}, about=about, story=story)


def members(folder: Path) -> DemoFile:
    """Made-up member records with planted faults, written into `folder` with the truth about them."""
    path, truth = folder / "members.csv", folder / "members-truth.jsonl"
    with path.open("wb") as output, truth.open("w", encoding="utf-8") as truths:
        sample.write_sample(registry.find(_MEMBERS), _MEMBER_RECORDS, output=output, truth=truths)
    lines = truth.read_text(encoding="utf-8").splitlines()
    planted = {row["row_number"]: tuple(row["error_codes"]) for row in map(json.loads, lines)}
    about = f"{count(_MEMBER_RECORDS)} made-up members, {len(planted)} with planted faults"
    story = "A file as people send them: a bad record costs only itself, and is told why."
    return DemoFile(path=path, record_type=_MEMBERS, records=_MEMBER_RECORDS, planted=planted, about=about, story=story)


def cache_folder(xdg_cache_home: str | None) -> Path:
    """The folder for what can be downloaded again (XDG base directory specification: a relative path is ignored).

    Raises:
        RuntimeError: the user has no home.
    """
    named = Path(xdg_cache_home or "")
    return (named if named.is_absolute() else Path.home() / ".cache") / "rowstream"
