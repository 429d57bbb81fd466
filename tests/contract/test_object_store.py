"""What the services rely on in an object store, shown with the embedded one, with a strict one, and over a cut line."""

import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from rowstream.runtime.settings import StorageSettings
from rowstream.storage.s3 import ObjectStream, S3Store
from rowstream.storage.store import ObjectChanged, ObjectInfo, ObjectMissing, RequestRefused, StoreUnavailable
from tests.servers import BUCKET, Server, Toxiproxy, storage_settings, store_of

SIZE = 700_000
DATA = os.urandom(SIZE)


class Line:
    """A line to the store that breaks off after so many bytes of an answer, as often as it is told to."""

    def __init__(self, target: tuple[str, int], listener: socket.socket) -> None:
        self._target, self._listener = target, listener
        self.cut_after = 300_000
        self.cuts = 0
        self.cut_so_far = 0
        self.address = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            back = threading.Thread(target=_pump, args=(client, server), daemon=True)
            back.start()
            room = self.cut_after if self.cut_so_far < self.cuts else None
            carried = _pump(server, client, room)
            if room is not None and carried >= room:
                self.cut_so_far += 1
            for one in (client, server):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, sink: socket.socket, room: int | None = None) -> int:
    carried = 0
    with suppress(OSError):
        while room is None or carried < room:
            data = source.recv(65_536 if room is None else min(65_536, room - carried))
            if not data:
                break
            sink.sendall(data)
            carried += len(data)
    return carried


@contextmanager
def line_to(server: Server) -> Iterator[tuple[Line, S3Store]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = Line(("127.0.0.1", server.port), listener)
        threading.Thread(target=line.serve, daemon=True).start()
        yield line, S3Store(storage_settings(server).model_copy(update={"endpoint_url": line.address}))


@pytest.fixture(scope="session", params=["localbucket", "versitygw"])
def object_store(request: pytest.FixtureRequest) -> Server:
    """Each of the servers; every test runs with both, unchanged."""
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)


@pytest.fixture
def key() -> str:
    return f"raw/{uuid4()}/ä b.csv"


def whole(stream: ObjectStream, size: int = 100_000) -> bytes:
    parts = []
    while part := stream.read(size):
        assert len(part) <= size
        parts.append(part)
    return b"".join(parts)


def test_what_is_put_is_looked_at_and_read(store: S3Store, key: str) -> None:
    put = store.put(BUCKET, key, io.BytesIO(DATA))
    assert put == store.look(BUCKET, key)
    assert (put.size, len(put.etag) > 0, '"' in put.etag) == (SIZE, True, False)
    stream = store.open(BUCKET, key, etag=put.etag, size=put.size)
    assert whole(stream) == DATA
    assert stream.read(10) == b""
    stream.close()


def test_a_small_object_does_not_wait_for_its_head_to_be_acknowledged(store: S3Store, key: str) -> None:
    store.put_bytes(BUCKET, key, b"member_id\n")
    seconds = []
    for _ in range(20):  # a new connection acknowledges at once, one in use after 40 ms
        begun = time.monotonic()
        assert store.peek(BUCKET, key, 100)[1] == b"member_id\n"
        seconds.append(time.monotonic() - begun)
    assert min(seconds[10:]) < 0.035


def test_a_large_file_goes_in_parts(store: S3Store, key: str) -> None:
    data = DATA * 13
    put = store.put(BUCKET, key, io.BytesIO(data))
    assert put.size == len(data) > 8 * 2**20
    stream = store.open(BUCKET, key, etag=put.etag, size=put.size)
    assert whole(stream, 1_000_000) == data
    stream.close()


def test_an_empty_object_is_read_as_nothing(store: S3Store, key: str) -> None:
    put = store.put(BUCKET, key, io.BytesIO(b""))
    stream = store.open(BUCKET, key, etag=put.etag, size=put.size)
    assert stream.read(10) == b""
    stream.close()


def test_what_is_not_there_is_missing(store: S3Store, key: str) -> None:
    with pytest.raises(ObjectMissing, match=BUCKET):
        store.look(BUCKET, key)
    with pytest.raises(ObjectMissing, match=key):
        store.open(BUCKET, key, etag="x", size=1)
    with pytest.raises(ObjectMissing):
        store.look("no-such-bucket", key)


@pytest.mark.parametrize(("server", "wrong"), [("localbucket", "a/../b"), ("versitygw", "x" * 1_100)])
def test_a_key_that_no_object_has_is_refused_for_good(request: pytest.FixtureRequest, server: str, wrong: str) -> None:
    store = store_of(request.getfixturevalue(server))
    with pytest.raises(RequestRefused, match="name the object otherwise"):
        store.look(BUCKET, wrong)
    with pytest.raises(RequestRefused):
        store.peek(BUCKET, wrong, 10)
    with pytest.raises(RequestRefused):
        store.open(BUCKET, wrong, etag="x", size=1)


def test_an_object_that_was_replaced_is_not_opened(store: S3Store, key: str) -> None:
    confirmed = store.put(BUCKET, key, io.BytesIO(b"one"))
    store.put(BUCKET, key, io.BytesIO(b"two"))
    with pytest.raises(ObjectChanged, match="replaced"):
        store.open(BUCKET, key, etag=confirmed.etag, size=confirmed.size)


def test_a_presigned_upload_needs_no_key(store: S3Store, key: str) -> None:
    presigned = store.presign(BUCKET, key, size=5, seconds=60)
    assert (presigned.method, presigned.fields) == ("PUT", {})
    assert httpx.put(presigned.url, content=b"hello").status_code == 200
    assert store.look(BUCKET, key).size == 5


def test_a_presigned_post_says_the_size_that_the_store_must_see(store_settings: StorageSettings, key: str) -> None:
    posting = S3Store(store_settings.model_copy(update={"presigned_post": True}))
    presigned = posting.presign(BUCKET, key, size=5, seconds=60)
    assert presigned.method == "POST"
    assert presigned.fields["key"] == key
    assert {"policy", "x-amz-signature"} <= presigned.fields.keys()
    assert "tests-secret" not in str(presigned)


@pytest.mark.parametrize(("sent", "status", "stored"), [(5, 204, True), (4, 400, False), (6, 400, False)])
def test_a_strict_store_takes_by_post_the_size_that_was_announced_and_no_other(
    versitygw: Server, key: str, sent: int, status: int, *, stored: bool
) -> None:
    posting = S3Store(storage_settings(versitygw).model_copy(update={"presigned_post": True}))
    presigned = posting.presign(BUCKET, key, size=5, seconds=60)
    assert httpx.post(presigned.url, data=presigned.fields, files={"file": b"x" * sent}).status_code == status
    if stored:
        assert posting.look(BUCKET, key).size == 5
    else:
        with pytest.raises(ObjectMissing):
            posting.look(BUCKET, key)


def test_a_strict_store_takes_nothing_from_who_has_not_signed(versitygw: Server, key: str) -> None:
    presigned = store_of(versitygw).presign(BUCKET, key, size=5, seconds=60)
    assert httpx.put(presigned.url.replace("X-Amz-Signature=", "X-Amz-Signature=0"), content=b"hello").is_client_error
    with pytest.raises(ObjectMissing):
        store_of(versitygw).look(BUCKET, key)
    stranger = S3Store(storage_settings(versitygw).model_copy(update={"secret_access_key": SecretStr("wrong")}))
    with pytest.raises(StoreUnavailable, match=r"refused s3://.*SignatureDoesNotMatch") as refusal:
        stranger.open(BUCKET, key, etag="x", size=1)
    assert "wrong" not in str(refusal.value)


def test_without_keys_the_identity_of_the_machine_is_used(
    versitygw: Server, key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An IAM role is one link of boto3's chain; a profile in a file is another, which can be had here."""
    profile = tmp_path / "credentials"
    settings = storage_settings(versitygw).model_copy(update={"access_key_id": None, "secret_access_key": None})
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers where an earlier test looked for a profile
    with pytest.raises(StoreUnavailable, match="NoCredentials"):
        S3Store(settings).put(BUCKET, key, io.BytesIO(b"x"))
    profile.write_text("[default]\naws_access_key_id = tests\naws_secret_access_key = tests-secret\n")
    assert S3Store(settings).put(BUCKET, key, io.BytesIO(b"hello")).size == 5


def test_buckets_are_made_once(store: S3Store) -> None:
    name = f"b-{uuid4().hex}"
    assert not store.bucket_exists(name)
    store.make_bucket(name)
    store.make_bucket(name)
    assert store.bucket_exists(name)


@pytest.mark.parametrize("cut_after", [1_000, 65_536, 300_000, 650_000])
def test_a_read_that_is_cut_goes_on_where_it_stopped(
    object_store: Server, store: S3Store, key: str, cut_after: int
) -> None:
    put = store.put(BUCKET, key, io.BytesIO(DATA))
    with line_to(object_store) as (line, cut_store):
        stream = cut_store.open(BUCKET, key, etag=put.etag, size=put.size)
        stream.close()
        line.cut_after, line.cuts = cut_after, 3
        stream = cut_store.open(BUCKET, key, etag=put.etag, size=put.size)
        assert whole(stream) == DATA
        assert line.cut_so_far >= 1
        stream.close()


def test_a_line_that_is_always_cut_is_given_up_with_the_byte_it_stands_at(
    object_store: Server, store: S3Store, key: str
) -> None:
    put = store.put(BUCKET, key, io.BytesIO(DATA))
    with line_to(object_store) as (line, cut_store):
        stream = cut_store.open(BUCKET, key, etag=put.etag, size=put.size)
        assert len(stream.read(100_000)) == 100_000
        line.cut_after, line.cuts = 200, 1_000  # from the next connection on, in the middle of the headers
        stream._interrupted(None)
        with pytest.raises(StoreUnavailable, match="cut 5 times at byte 100000"):
            stream.read(100_000)
        stream.close()


def test_an_object_that_is_replaced_or_gone_in_the_middle_is_noticed(
    object_store: Server, store: S3Store, key: str
) -> None:
    for change, expected in ((b"other", ObjectChanged), (None, ObjectMissing)):
        put = store.put(BUCKET, key, io.BytesIO(DATA))
        with line_to(object_store) as (line, cut_store):
            line.cut_after, line.cuts = 300_000, 1
            stream = cut_store.open(BUCKET, key, etag=put.etag, size=put.size)
            stream.read(100_000)
            if change is None:
                store._client.delete_object(Bucket=BUCKET, Key=key)
            else:
                store.put(BUCKET, key, io.BytesIO(change))
            with pytest.raises(expected):
                whole(stream)
            stream.close()


@pytest.mark.filterwarnings("ignore:tzname")  # a date that was cut
@pytest.mark.parametrize("cut_after", range(20, 420, 25))
def test_an_answer_that_is_cut_within_its_headers_is_asked_for_again(
    object_store: Server, store: S3Store, key: str, cut_after: int
) -> None:
    put = store.put(BUCKET, key, io.BytesIO(DATA))
    with line_to(object_store) as (line, cut_store):
        stream = cut_store.open(BUCKET, key, etag=put.etag, size=put.size)
        first = stream.read(1_000)
        line.cut_after, line.cuts = cut_after, 4  # the client itself asks three times
        stream._interrupted(None)
        assert first + whole(stream) == DATA
        assert line.cut_so_far == 4
        stream.close()


def test_an_object_of_another_size_than_was_confirmed_is_not_read(store: S3Store, key: str) -> None:
    put = store.put(BUCKET, key, io.BytesIO(DATA))
    with pytest.raises(StoreUnavailable, match="was cut"):
        store.open(BUCKET, key, etag=put.etag, size=put.size + 1)


def test_an_interruption_behind_the_last_byte_is_none(store: S3Store, key: str) -> None:
    put = store.put(BUCKET, key, io.BytesIO(b"abc"))
    stream = store.open(BUCKET, key, etag=put.etag, size=put.size)
    assert stream.read(3) == b"abc"
    stream._interrupted(None)
    assert stream.read(3) == b""
    stream.close()


def test_a_store_that_does_not_answer_is_unavailable(store_settings: StorageSettings, key: str) -> None:
    nowhere = S3Store(store_settings.model_copy(update={"endpoint_url": "http://127.0.0.1:1"}))
    for call in (
        lambda: nowhere.look(BUCKET, key),
        lambda: nowhere.open(BUCKET, key, etag="x", size=1),
        lambda: nowhere.put(BUCKET, key, io.BytesIO(b"x")),
        lambda: nowhere.bucket_exists(BUCKET),
        lambda: nowhere.make_bucket(BUCKET),
    ):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            call()


@pytest.mark.parametrize("bucket", [BUCKET, "nobody-made-it"])
def test_a_store_that_answers_anything_gives_a_sign_of_life(
    store: S3Store, store_settings: StorageSettings, versitygw: Server, bucket: str
) -> None:
    store.probe.ask(bucket)
    S3Store(storage_settings(versitygw).model_copy(update={"secret_access_key": SecretStr("wrong")})).probe.ask(bucket)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        S3Store(store_settings.model_copy(update={"endpoint_url": "http://127.0.0.1:1"})).probe.ask(bucket)


def test_a_store_that_is_silent_gives_none(
    toxiproxy: Toxiproxy, object_store: Server, store_settings: StorageSettings
) -> None:
    line = toxiproxy.line("store", object_store.address)
    far = S3Store(store_settings.model_copy(update={"endpoint_url": f"http://{line.address}"}))
    line.poison("timeout", timeout=0)
    asked = time.monotonic()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        far.probe.ask(BUCKET)
    assert time.monotonic() - asked < 15  # once, and not three times for half a minute
    line.mend()
    far.probe.ask(BUCKET)


def test_what_a_store_says_of_an_object_is_plain() -> None:
    assert ObjectInfo("e", 3) == ObjectInfo("e", 3, None)
