"""Files from a real SFTP server into a real store and database: each finished one once and whole, put aside after."""

import asyncio
import dataclasses
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from prometheus_client import REGISTRY

from ingest_gateway.arrivals.sftp import Overtaken, Stopped, look
from ingest_gateway.gateway import Gateway
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.runtime.settings import StorageSettings
from rowstream.storage.s3 import S3Store
from rowstream.storage.store import ObjectInfo
from tests import servers
from tests.partners import Partner, look_once, rows, states, stored, uploads

MANY = 10_000


class Meddling(S3Store):
    """The store, with something happening each time that a file is being read into it, or was."""

    def __init__(self, settings: StorageSettings, meddle: Callable[[], object], *, afterwards: bool) -> None:
        super().__init__(settings)
        self._meddle, self._afterwards = meddle, afterwards

    def put(self, bucket: str, key: str, body: BinaryIO) -> ObjectInfo:
        read, meddle = body.read, self._meddle

        def meddled(size: int = -1) -> bytes:
            data = read(1)
            meddle()
            return data + read(size - 1)

        if not self._afterwards:
            body.read = meddled  # type: ignore[method-assign]
        found = super().put(bucket, key, body)
        if self._afterwards:
            meddle()
        return found


def meddled(gateway: Gateway, meddle: Callable[[], object], *, afterwards: bool = False) -> Gateway:
    return dataclasses.replace(gateway, store=Meddling(gateway.settings.storage, meddle, afterwards=afterwards))


def count(outcome: str, partner: Partner) -> float:
    labels = {"source": partner.folder.name, "outcome": outcome}
    return REGISTRY.get_sample_value("rowstream_sftp_files_total", labels) or 0.0


def test_a_file_becomes_an_upload_and_is_moved(
    gateway: Gateway, database_url: str, partner: Partner, store: S3Store
) -> None:
    partner.put("members.csv", b"a,b\n1,2\n")
    assert look_once(gateway, partner.source())
    query = (
        "SELECT organization_id, status, source_type, source, source_event_id, record_type, created_by, created_from"
        " FROM batch_uploads"
    )
    event = f"1700000000:8:{partner.folder}/members.csv"
    name = f"sftp:{partner.folder.name}"
    assert rows(database_url, query) == [
        (DEFAULT_ORGANIZATION, "pending", "ftp", name, event, "member_certification", name, "127.0.0.1")
    ]
    assert rows(database_url, "SELECT action, actor_kind, way FROM acts") == [("upload.accepted", "system", "ftp")]
    assert uploads(database_url) == [("members.csv", 8)]
    assert stored(database_url, store) == [b"a,b\n1,2\n"]
    assert (partner.names(), partner.names("taken")) == ([], ["members.csv"])
    assert states(database_url) == {"members.csv": ("taken", None)}


@pytest.mark.parametrize("size", [0, 8 * 2**20, 8 * 2**20 + 1])
def test_a_file_of_any_size_comes_whole(
    gateway: Gateway, database_url: str, partner: Partner, store: S3Store, size: int
) -> None:
    content = os.urandom(size)
    partner.put("members.csv", content)
    look_once(gateway, partner.source())
    (found,) = stored(database_url, store)
    assert found == content


def test_a_file_is_taken_once_it_has_settled_and_not_while_it_grows(
    gateway: Gateway, database_url: str, partner: Partner
) -> None:
    source = partner.source(rename=None, settled_seconds=1)
    for grown in range(1, 5):
        partner.put("a.csv", b"a" * grown, modified=grown)
        look_once(gateway, source)
        assert uploads(database_url) == []
    assert states(database_url) == {"a.csv": ("seen", None)}
    servers.until(
        lambda: look_once(gateway, source) and uploads(database_url) != [], what="a second look at the same file"
    )
    assert uploads(database_url) == [("a.csv", 4)]


def test_a_file_waits_for_its_marker_and_both_are_moved(gateway: Gateway, database_url: str, partner: Partner) -> None:
    source = partner.source(rename=None, done_marker=".done", pattern="*")
    partner.put("a.csv", modified=100)
    partner.put("a.csv.done", b"", modified=99)
    look_once(gateway, source)
    assert uploads(database_url) == []
    partner.put("a.csv.done", b"", modified=101)
    look_once(gateway, source)
    assert uploads(database_url) == [("a.csv", 3)]
    assert (partner.names(), partner.names("taken")) == ([], ["a.csv", "a.csv.done"])


def test_a_name_of_a_file_that_was_moved_before_is_used_again(
    gateway: Gateway, database_url: str, partner: Partner
) -> None:
    for content in (b"monday", b"tuesday"):
        partner.put("a.csv", content)
        look_once(gateway, partner.source())
    assert uploads(database_url) == [("a.csv", 6), ("a.csv", 7)]
    first, second = partner.names("taken")
    assert first == "a.csv"
    assert re.fullmatch(r"a\.csv\.[0-9a-f-]{36}", second)
    assert partner.names() == []


def test_a_marked_file_is_not_taken_again_nor_its_mark(gateway: Gateway, database_url: str, partner: Partner) -> None:
    source = partner.source(move_to=None, mark=".taken", pattern="*")
    partner.put("a.csv")
    for _ in range(3):
        look_once(gateway, source)
    assert partner.names() == ["a.csv", "a.csv.taken"]
    assert uploads(database_url) == [("a.csv", 3)]


def test_a_file_that_stays_is_not_taken_again_even_if_the_list_of_files_is_lost(
    gateway: Gateway, database_url: str, partner: Partner
) -> None:
    source = partner.source(move_to=None, leave=True)
    partner.put("a.csv")
    look_once(gateway, source)
    look_once(gateway, source)
    assert uploads(database_url) == [("a.csv", 3)]
    rows(database_url, "DELETE FROM sftp_files RETURNING 1")
    before = count("again", partner)
    look_once(gateway, source)
    assert uploads(database_url) == [("a.csv", 3)]
    assert count("again", partner) == before + 1
    partner.put("a.csv", b"more")
    look_once(gateway, source)
    assert uploads(database_url) == [("a.csv", 3), ("a.csv", 4)]


@pytest.mark.parametrize("way", ["grows", "touched", "replaced", "shrinks", "gone", "link"])
def test_a_file_that_changes_while_it_is_read_is_not_taken(
    gateway: Gateway, database_url: str, partner: Partner, tmp_path: Path, way: str
) -> None:
    """SFTPGo 2291: files were picked up half-written, while the sender was still at it."""
    path = partner.put("a.csv", b"a" * 5_000)

    def meddle() -> None:
        if way == "grows":
            path.write_bytes(b"a" * 5_001)
        elif way == "touched":
            os.utime(path, (5, 5))
        elif way == "replaced":
            partner.put("new", b"b" * 5_000, modified=1_700_000_001).rename(path)
        elif way == "shrinks":
            os.truncate(path, 10)
        elif way == "gone":
            path.rename(tmp_path / "gone")
        elif not path.is_symlink():
            path.rename(tmp_path / "other")
            path.symlink_to(tmp_path / "other")

    before = count("changed", partner)
    look_once(meddled(gateway, meddle), partner.source())
    assert uploads(database_url) == []
    assert count("changed", partner) == before + 1
    (key,) = rows(database_url, "SELECT s3_key FROM sftp_files")[0]
    with pytest.raises(Exception, match="there is no"):
        gateway.store.look(servers.BUCKET, key)


def test_a_file_that_was_replaced_after_it_was_taken_is_not_moved_but_taken_too(
    gateway: Gateway, database_url: str, partner: Partner
) -> None:
    partner.put("a.csv", b"old")
    look_once(gateway, partner.source(move_to=None, leave=True))
    partner.put("a.csv", b"newer")
    look_once(gateway, partner.source())
    assert uploads(database_url) == [("a.csv", 3), ("a.csv", 5)]
    assert partner.names("taken") == ["a.csv"]


def test_hostile_names_are_data_and_no_folder_or_link_is_followed(
    gateway: Gateway, database_url: str, partner: Partner
) -> None:
    partner.put("line\nbreak\x1b[2J.csv")
    partner.put("back\\..\\slash.csv")
    partner.put("\u202egnp.csv")
    partner.put(b"M\xfcller.csv")
    partner.put(b"..csv")
    (partner.folder / "loop").symlink_to(partner.folder, target_is_directory=True)
    (partner.folder / "link.csv").symlink_to(partner.folder / "line\nbreak\x1b[2J.csv")
    (partner.folder / "folder.csv").mkdir()
    os.mkfifo(partner.folder / "pipe.csv")
    look_once(gateway, partner.source())
    assert sorted(uploads(database_url)) == [("gnp.csv", 3), ("linebreak[2J.csv", 3), ("slash.csv", 3)]
    assert (
        states(database_url).items()
        >= {
            "M\\xfcller.csv": ("left", "its name is not UTF-8; rename it"),
            "link.csv": ("left", "it is no regular file; links are not followed"),
            "pipe.csv": ("left", "it is no regular file; links are not followed"),
        }.items()
    )
    keys = [key for (key,) in rows(database_url, "SELECT s3_key FROM batch_uploads")]
    assert all(re.fullmatch(rf"raw-uploads/{DEFAULT_ORGANIZATION}/[0-9a-f-]{{36}}", key) for key in keys)
    assert len(partner.names("taken")) == 3


def test_what_is_left_is_said_once_and_forgotten_when_it_is_gone(
    gateway: Gateway, database_url: str, partner: Partner
) -> None:
    path = partner.put(b"M\xfcller.csv")
    before = count("left", partner)
    look_once(gateway, partner.source())
    look_once(gateway, partner.source())
    assert count("left", partner) == before + 1
    path.unlink()
    look_once(gateway, partner.source())
    assert states(database_url) == {}


@pytest.mark.parametrize("move_to", ["/dev/null/taken", "/proc/taken"])
def test_a_server_that_does_not_let_files_be_moved_costs_no_other_file(
    gateway: Gateway, database_url: str, partner: Partner, move_to: str
) -> None:
    partner.put("a.csv")
    partner.put("b.csv")
    before = count("stays", partner)
    for _ in range(2):
        look_once(gateway, partner.source(move_to=move_to, every_seconds=3_600))
    assert uploads(database_url) == [("a.csv", 3), ("b.csv", 3)]
    assert partner.names() == ["a.csv", "b.csv"]
    assert count("stays", partner) == before + 2
    assert all(state == "taken" and reason for state, reason in states(database_url).values())


def test_a_file_over_a_quota_waits_and_comes_when_there_is_room(
    gateway: Gateway, database_url: str, partner: Partner
) -> None:
    rows(database_url, "UPDATE organizations SET max_open_uploads = 1 RETURNING 1")
    partner.put("a.csv", modified=1)
    partner.put("b.csv", modified=2)
    look_once(gateway, partner.source())
    assert uploads(database_url) == [("a.csv", 3)]
    state, reason = states(database_url)["b.csv"]
    assert (state, reason and "may have 1 uploads at a time" in reason) == ("left", True)
    rows(database_url, "UPDATE organizations SET max_open_uploads = 2 RETURNING 1")
    rows(database_url, "UPDATE sftp_files SET changed_at = changed_at - interval '1 hour' RETURNING 1")
    look_once(gateway, partner.source())
    assert uploads(database_url) == [("a.csv", 3), ("b.csv", 3)]


def test_two_gateways_at_once_take_each_file_once(gateway: Gateway, database_url: str, partner: Partner) -> None:
    for number in range(20):
        partner.put(f"{number}.csv")
    barrier, failures = threading.Barrier(4), list[BaseException]()

    def work() -> None:
        barrier.wait()
        try:
            for _ in range(3):
                look_once(gateway, partner.source())
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    assert sorted(uploads(database_url)) == sorted((f"{number}.csv", 3) for number in range(20))


def test_a_gateway_that_lost_its_right_lets_go_of_the_file_that_another_took(
    gateway: Gateway, database_url: str, partner: Partner, store: S3Store
) -> None:
    source = partner.source(move_to=None, leave=True)
    partner.put("a.csv", b"once")
    lost = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    met: list[Any] = []

    def meddle() -> None:
        if not met:
            met.append(look_once(gateway, source))
            met.append(rows(database_url, lost))
            servers.until(lambda: look_once(gateway, source), what="the right to the source")

    with pytest.raises(Overtaken):
        look_once(meddled(gateway, meddle), source)
    assert met == [False, [(True,)]], "another gateway worked the source beside the first one"
    assert uploads(database_url) == [("a.csv", 4)]
    assert stored(database_url, store) == [b"once"]


def test_what_another_gateway_has_removed_from_the_store_is_not_accepted(
    gateway: Gateway, database_url: str, partner: Partner
) -> None:
    path = partner.put("a.csv")

    def meddle() -> None:
        path.unlink()
        rows(database_url, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        servers.until(lambda: look_once(gateway, partner.source()), what="the right to the source")

    with pytest.raises(Overtaken):
        look_once(meddled(gateway, meddle, afterwards=True), partner.source())
    assert (uploads(database_url), states(database_url)) == ([], {})


def test_a_gateway_that_is_to_stop_leaves_a_file_in_the_middle(
    gateway: Gateway, database_url: str, partner: Partner, store: S3Store
) -> None:
    stop = threading.Event()
    partner.put("a.csv", b"a" * 5_000)
    with pytest.raises(Stopped):
        asyncio.run(look(meddled(gateway, stop.set), partner.source(), stop))
    assert uploads(database_url) == []
    look_once(gateway, partner.source())
    assert stored(database_url, store) == [b"a" * 5_000]


def test_many_files_are_listed_and_remembered_at_once(gateway: Gateway, database_url: str, partner: Partner) -> None:
    for number in range(MANY):
        (partner.folder / f"{number}.csv").touch()
    source = partner.source(rename=None, settled_seconds=3_600)
    for _ in range(2):
        look_once(gateway, source)
    assert rows(database_url, "SELECT state, count(*) FROM sftp_files GROUP BY 1") == [("seen", MANY)]
