"""What becomes of stored objects with time: rules on stores that keep them, and without them on those that do not."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer

from rowstream.cli import storage
from rowstream.cli.options import WrongUsage
from rowstream.errors import Fatal, Retryable
from rowstream.runtime.settings import StorageSettings
from rowstream.storage.lifecycle import ERRORS, RAW_UPLOADS, Outcome, documents, has_all, merged
from rowstream.storage.s3 import S3Store
from tests import servers

KEYS = {"access_key_id": "tests", "secret_access_key": "tests-secret"}
THEIRS = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 1}}


class Keeper(BaseHTTPRequestHandler):
    """A bucket that keeps what is put under `?lifecycle` and `?cors`, as S3 does; the stores of the tests have no such.

    It judges nothing: what S3 would refuse is judged by the client's own model of it, before anything is sent.
    """

    kept: dict[str, bytes]

    def do_PUT(self) -> None:
        self.kept[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.say(200)

    def do_GET(self) -> None:
        name = "Lifecycle" if "lifecycle" in self.path else "CORS"
        none = f"<Error><Code>NoSuch{name}Configuration</Code></Error>".encode()
        self.say(200 if self.path in self.kept else 404, self.kept.get(self.path, none))

    def say(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def keeper() -> Iterator[str]:
    """The address of a store that keeps configurations."""
    handler = type("Kept", (Keeper,), {"kept": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def keeping(keeper: str) -> S3Store:
    return S3Store(StorageSettings.model_validate({"endpoint_url": keeper, **KEYS}))


@pytest.fixture(params=["localbucket", "versitygw"])
def store(request: pytest.FixtureRequest) -> S3Store:
    return servers.store_of(request.getfixturevalue(request.param))


def test_rules_are_put_beside_those_of_others_and_are_seen(keeping: S3Store) -> None:
    bucket, lifecycle = servers.BUCKET, keeping.lifecycle
    assert lifecycle.state(bucket) is Outcome.DIFFERS
    keeping._client.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [THEIRS, {**THEIRS, "ID": "rowstream-errors"}]}
    )
    assert lifecycle.state(bucket) is Outcome.DIFFERS
    assert lifecycle.apply(bucket) is Outcome.AS_WANTED
    assert lifecycle.apply(bucket) is Outcome.AS_WANTED
    rules = lifecycle.rules(bucket)
    assert rules
    assert [rule["ID"] for rule in rules] == [
        "theirs",
        "rowstream-raw-uploads",
        "rowstream-processed",
        "rowstream-errors",
        "rowstream-unfinished-parts",
    ]
    assert rules[0] == THEIRS
    assert lifecycle.state(bucket, "DEEP_ARCHIVE") is Outcome.DIFFERS


def test_origins_of_pages_are_put_and_seen(keeping: S3Store) -> None:
    bucket, lifecycle = servers.BUCKET, keeping.lifecycle
    assert lifecycle.origins(bucket) == frozenset()
    assert lifecycle.allow_origins(bucket, ["https://staff.example"]) is Outcome.AS_WANTED
    assert lifecycle.origins(bucket) == frozenset({"https://staff.example"})


def test_originals_go_to_the_archive_and_are_never_removed() -> None:
    rules = {rule["Filter"]["Prefix"]: rule for rule in documents()}
    assert rules[RAW_UPLOADS]["Transitions"] == [{"Days": 90, "StorageClass": "GLACIER"}]
    assert rules["processed/"]["Transitions"] == [{"Days": 1, "StorageClass": "GLACIER"}]
    assert rules[ERRORS]["Expiration"] == {"Days": 30}
    assert [prefix for prefix, rule in rules.items() if "Expiration" in rule] == [ERRORS]
    assert rules[""]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


@pytest.mark.parametrize(
    ("there", "all_there"),
    [
        ([], False),
        (documents(), True),
        ([*documents(), THEIRS], True),
        (documents()[1:], False),
        ([{**rule, "Status": "Disabled"} for rule in documents()], False),
        ([{**rule, "More": "from the store"} for rule in documents()], True),
        ([{**rule, "Filter": rule["Filter"] if rule["Filter"]["Prefix"] else {}} for rule in documents()], True),
        (documents(archive_class="DEEP_ARCHIVE"), False),
    ],
)
def test_rules_are_compared_by_what_they_say(there: list[dict[str, Any]], *, all_there: bool) -> None:
    assert has_all(there, documents()) == all_there


def test_merging_replaces_only_what_is_ours() -> None:
    old = {**THEIRS, "ID": "rowstream-of-a-former-version"}
    assert merged([THEIRS, old], documents()) == [THEIRS, *documents()]


def test_a_store_without_rules_says_so(store: S3Store) -> None:
    lifecycle = store.lifecycle
    assert lifecycle.state(servers.BUCKET) is Outcome.NOT_KEPT
    assert lifecycle.apply(servers.BUCKET) is Outcome.NOT_KEPT


def test_there_only_exports_that_are_old_enough_are_removed(store: S3Store) -> None:
    bucket = servers.BUCKET
    export, original = "errors/lifecycle/report.csv", f"{RAW_UPLOADS}lifecycle/original"
    for key in (export, original):
        store.put(bucket, key, io.BytesIO(b"abc"))
    now = datetime.now(UTC)
    assert store.lifecycle.remove_old(bucket, ERRORS, before=now - timedelta(days=1)) == 0
    assert store.look(bucket, export)
    assert store.lifecycle.remove_old(bucket, ERRORS, before=now + timedelta(minutes=5)) >= 1
    assert store.lifecycle.remove_old(bucket, ERRORS, before=now + timedelta(minutes=5)) == 0
    assert store.look(bucket, original)
    for prefix in (RAW_UPLOADS, "", "e", "errors"):
        with pytest.raises(ValueError, match="not removed by age"):
            store.lifecycle.remove_old(bucket, prefix, before=now + timedelta(minutes=5))
    assert store.look(bucket, original)


def test_a_store_that_is_away_is_no_store_without_rules() -> None:
    away = StorageSettings.model_validate({"endpoint_url": f"http://127.0.0.1:{servers.free_port()}", **KEYS})
    with pytest.raises(Retryable):
        S3Store(away).lifecycle.state("rowstream")


class TestCommand:
    @pytest.fixture(autouse=True)
    def _credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in KEYS.items():
            monkeypatch.setenv(f"ROWSTREAM_STORAGE__{name.upper()}", value)

    def said(self, verb: Callable[..., None], capsys: pytest.CaptureFixture[str], **given: Any) -> tuple[int, Any]:
        """The exit code of a verb, and its answer as JSON."""
        code = 0
        try:
            verb(**{"origins": "", "state_dir": Path("nowhere"), "json": True, **given})
        except typer.Exit as end:
            code = end.exit_code
        return code, json.loads(capsys.readouterr().out)

    def test_show_differs_until_apply_was_used(
        self, keeper: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("ROWSTREAM_STORAGE__ENDPOINT_URL", keeper)
        page = {"origins": "https://staff.example"}
        code, found = self.said(storage.show, capsys, **page)
        assert (code, found["rules"], found["origins"]) == (1, "differs", "differs")
        for verb in (storage.apply, storage.show):
            code, found = self.said(verb, capsys, **page)
            assert (code, found["rules"], found["origins"]) == (0, "as wanted", "as wanted")
        storage.show(origins="", state_dir=Path("nowhere"), json=False)
        told = capsys.readouterr().out
        assert "raw-uploads/" in told
        assert "archived after 1 day " in told
        assert "removed after 30 days" in told

    def test_a_store_without_rules_is_no_failure(
        self,
        object_store: servers.Server,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("ROWSTREAM_STORAGE__ENDPOINT_URL", f"http://{object_store.address}")
        for verb in (storage.apply, storage.show):
            code, found = self.said(verb, capsys)
            assert (code, found["rules"], found["origins"]) == (0, "not kept by this store", None)

    def test_without_a_store_or_a_system_it_says_how_to_name_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("ROWSTREAM_STORAGE__ENDPOINT_URL", raising=False)
        monkeypatch.delenv("ROWSTREAM_STORAGE__BUCKET", raising=False)
        with pytest.raises(Fatal, match="ROWSTREAM_STORAGE__BUCKET"):
            storage.show(state_dir=tmp_path)
        monkeypatch.setenv("ROWSTREAM_STORAGE__BUCKET", "b")
        with pytest.raises(WrongUsage, match="no origin"):
            storage.show(origins="staff.example", state_dir=tmp_path)
