"""Which files of a partner's folder are finished, and what is done with each: tables of cases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.arrivals.sftp_plan import (
    Act,
    Decision,
    Identity,
    Kind,
    Known,
    Listed,
    again_after,
    pause_after,
    plan,
    remote_file,
)
from rowstream.runtime.sources import SftpSource

SETTLED = {"settled_seconds": 30.0}
MARKER = {"done_marker": ".done"}
RENAME = {"rename": "*.part"}
MOVE = {"move_to": "taken"}
MARK = {"mark": ".taken"}
LEAVE = {"leave": True}
LONG_AGO = 1_000_000.0


def source(*ways: Mapping[str, Any], **fields: Any) -> SftpSource:
    said = {
        "name": "acme",
        "organization": "default",
        "record_type": "member_certification",
        "host": "sftp.example",
        "username": "rowstream",
        "private_key_file": Path("key"),
        "known_hosts_file": Path("known_hosts"),
        "folder": "out",
        "pattern": "*.csv",
        "every_seconds": 10,
        **fields,
    }
    for way in ways:
        said |= way
    return SftpSource.model_validate(said)


def file(name: bytes = b"a.csv", size: int | None = 3, modified: int | None = 100, kind: Kind = Kind.FILE) -> Listed:
    return Listed(name, kind, size, modified)


def decided(
    of: SftpSource, *listed: Listed, known: Mapping[Identity, Known] | None = None, max_bytes: int = 1_000
) -> list[Decision]:
    return plan(of, listed, known or {}, max_bytes=max_bytes)


def said(of: SftpSource, *listed: Listed, known: Known | None = None) -> list[tuple[bytes, Act, str]]:
    """What is decided; `known` is remembered of the first."""
    remembered = {remote_file(of, listed[0]).identity: known} if known else {}
    return [(one.file.name, one.act, one.reason) for one in decided(of, *listed, known=remembered)]


@pytest.mark.parametrize(
    ("known", "act", "reason"),
    [
        (None, Act.WAIT, "it is seen for the first time"),
        (Known(state="seen", seen_seconds=29.9), Act.WAIT, "unchanged for 30 s of 30 s"),
        (Known(state="seen", seen_seconds=30.0), Act.TAKE, ""),
        (Known(state="taking", seen_seconds=31.0, key="k"), Act.TAKE, ""),
        (Known(state="left", seen_seconds=31.0, reason="no"), Act.LEAVE, "no"),
        (Known(state="left", seen_seconds=99.0, changed_seconds=50.0, reason="no"), Act.TAKE, ""),
    ],
)
def test_a_file_that_has_settled(known: Known | None, act: Act, reason: str) -> None:
    assert said(source(SETTLED, MOVE), file(), known=known) == [(b"a.csv", act, reason)]


def test_a_file_that_grew_or_was_touched_is_another_one_that_begins_anew() -> None:
    of = source(SETTLED, MOVE)
    known = {remote_file(of, file(size=2)).identity: Known(state="seen", seen_seconds=LONG_AGO)}
    for changed in (file(size=3), file(size=2, modified=101)):
        assert [one.act for one in decided(of, changed, known=known)] == [Act.WAIT]


@pytest.mark.parametrize(
    ("listed", "act", "reason"),
    [
        ((file(),), Act.WAIT, "there is no .done beside it"),
        ((file(), file(b"b.csv.done")), Act.WAIT, "there is no .done beside it"),
        ((file(), file(b"a.csv.done", modified=99)), Act.WAIT, "it was changed after its .done"),
        ((file(), file(b"a.csv.done", modified=100)), Act.TAKE, ""),
        ((file(), file(b"a.csv.done", modified=101)), Act.TAKE, ""),
        ((file(), file(b"a.csv.done", modified=None)), Act.WAIT, "it was changed after its .done"),
        ((file(), file(b"a.csv.done", kind=Kind.FOLDER)), Act.WAIT, "there is no .done beside it"),
    ],
)
def test_a_file_with_a_marker(listed: tuple[Listed, ...], act: Act, reason: str) -> None:
    assert said(source(MARKER, MOVE), *listed) == [(b"a.csv", act, reason)]


def test_markers_and_marks_are_no_files() -> None:
    listed = (file(b"a.csv.done"), file(b".done"), file(b"a.csv.done.taken"))
    assert said(source(MARKER, MARK, pattern="*"), *listed) == []


def test_a_file_with_its_final_name() -> None:
    of = source(RENAME, MOVE, pattern="*")
    assert said(of, file(b"a.csv"), file(b"b.csv.part")) == [
        (b"a.csv", Act.TAKE, ""),
        (b"b.csv.part", Act.WAIT, "it has not got its final name: it is still named as *.part"),
    ]


@pytest.mark.parametrize(
    ("way", "known", "beside", "acts"),
    [
        (MOVE, Known(state="taken"), (), [Act.PUT_ASIDE]),
        (MOVE, Known(state="taken", reason="not allowed"), (), []),
        (MOVE, Known(state="taken", reason="not allowed", changed_seconds=50.0), (), [Act.PUT_ASIDE]),
        (MARK, Known(state="taken"), (), [Act.PUT_ASIDE]),
        (MARK, Known(state="taken"), (file(b"a.csv.taken"),), []),
        (LEAVE, Known(state="taken"), (), []),
    ],
)
def test_a_file_that_was_taken_is_put_aside_and_never_taken_again(
    way: Mapping[str, Any], known: Known, beside: tuple[Listed, ...], acts: list[Act]
) -> None:
    for finished in (SETTLED, RENAME):
        assert [act for _, act, _ in said(source(finished, way), file(), *beside, known=known)] == acts


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (file(b"b/../../etc/a.csv"), "the server lists a name that no file can have"),
        (file(b"a\x00.csv"), "the server lists a name that no file can have"),
        (file(b"M\xfcller.csv"), "its name is not UTF-8; rename it"),
        (file(b"a" * 252 + b".csv"), "its name has more than 255 bytes; shorten it"),
        (file(kind=Kind.OTHER), "it is no regular file; links are not followed"),
        (file(size=None), "the server does not say how large it is, or when it was changed"),
        (file(modified=None), "the server does not say how large it is, or when it was changed"),
        (file(size=1_001), "it has 1001 bytes, at most 1000 are taken; split it"),
    ],
)
def test_what_can_not_be_taken_is_left_whatever_else_is_known(one: Listed, reason: str) -> None:
    for known in (None, Known(state="seen", seen_seconds=LONG_AGO), Known(state="taking", key="k")):
        assert [(act, why) for _, act, why in said(source(RENAME, MOVE), one, known=known)] == [(Act.LEAVE, reason)]


def test_a_name_of_nothing_that_can_be_shown_is_left() -> None:
    ((_, act, reason),) = said(source(RENAME, MOVE, pattern="*"), file(b"\n\t"))
    assert act is Act.LEAVE
    assert reason.startswith("its name cannot be shown: ")


@pytest.mark.parametrize("name", [b"a\nb.csv", b"b\\..\\a.csv", "\u202eabc.csv".encode(), b"a;rm -rf.csv", b" .csv"])
def test_a_strange_name_is_only_a_name(name: bytes) -> None:
    assert said(source(RENAME, MOVE), file(name)) == [(name, Act.TAKE, "")]


@pytest.mark.parametrize(
    ("pattern", "name", "meant"),
    [
        ("*.csv", b"a.csv", True),
        ("*.csv", b"a.CSV", False),
        ("*.csv", b"a.csv.tmp", False),
        ("*.csv", b".a.csv", False),
        (".*", b".a.csv", True),
        ("*", b".", False),
        (".*", b"..", False),
        ("m[ae]*", b"members", True),
    ],
)
def test_the_pattern_is_that_of_a_shell(pattern: str, name: bytes, *, meant: bool) -> None:
    assert bool(said(source(RENAME, MOVE, pattern=pattern), file(name))) is meant


def test_folders_are_not_gone_into() -> None:
    assert said(source(RENAME, MOVE, pattern="*"), file(b"a.csv", kind=Kind.FOLDER)) == []


def test_the_oldest_comes_first() -> None:
    listed = [file(b"c.csv", modified=3), file(b"b.csv", modified=1), file(b"a.csv", modified=1)]
    assert [name for name, _, _ in said(source(RENAME, MOVE), *listed)] == [b"a.csv", b"b.csv", b"c.csv"]


def test_the_same_file_has_the_same_event_and_another_has_not() -> None:
    of = source(RENAME, MOVE)
    events = {remote_file(of, one).event_id for one in (file(), file(), file(size=4), file(modified=9), file(b"b.csv"))}
    assert events == {"100:3:out/a.csv", "100:4:out/a.csv", "9:3:out/a.csv", "100:3:out/b.csv"}


@given(st.binary(max_size=3_000), st.integers(0, 2**64 - 1) | st.none(), st.integers(0, 2**32 - 1) | st.none())
def test_no_name_breaks_the_plan_or_the_database(name: bytes, size: int | None, modified: int | None) -> None:
    for one in decided(source(RENAME, MOVE, pattern="*"), file(name, size, modified)):
        assert len(one.file.path.encode()) < 1_100  # an index of Postgres takes 2,704 bytes
        assert "\x00" not in one.file.path
        assert one.act is Act.LEAVE or b"/" not in name


@pytest.mark.parametrize(
    ("failures", "every", "shortest", "longest"),
    [
        (0, 60, 48, 72),
        (1, 60, 96, 144),
        (2, 60, 192, 288),
        (50, 60, 240, 360),
        (50, 3_600, 2_880, 4_320),
        (1, 1, 1.6, 2.4),
    ],
)
def test_each_failure_makes_the_pause_longer_and_chance_spreads_it(
    failures: int, every: float, shortest: float, longest: float
) -> None:
    assert pause_after(failures, every, 0.0) == pytest.approx(shortest)
    assert pause_after(failures, every, 1.0) == pytest.approx(longest)


def test_one_file_is_tried_again_after_some_looks() -> None:
    assert [again_after(every) for every in (1, 60, 3_600)] == [5, 300, 300]
