"""Control of one upload over HTTP, on a real database: each request once, twice, at once, and by a stranger."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from ingest_gateway import control
from ingest_gateway.control import Verb
from ingest_gateway.gateway import Gateway
from rowstream.database.control import CHANNEL
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.errors import Retryable
from rowstream.kafka.topics import UPLOAD_STATUS, UPLOADS
from rowstream.messages import codec
from rowstream.messages.upload_accepted import UploadAccepted
from rowstream.messages.upload_status import UploadStatus
from tests import gateways, servers

ROOT = "/api/v1/batch_uploads"
MANY = 6
WRONG_STATE = "urn:rowstream:problem:not_in_this_state"


@pytest.fixture
def address(database_url: str, object_store: servers.Server) -> Iterator[str]:
    with gateways.serving(gateways.gateway_settings(database_url, servers.storage_settings(object_store))) as address:
        yield address


@pytest.fixture
def api(address: str, database_url: str) -> Iterator[httpx.Client]:
    with gateways.client_of(address, gateways.new_key(database_url)) as client:
        yield client


def upload(url: str, status: str = "processing", *, attempt: int = 1) -> str:
    """An accepted upload in this state."""
    upload_id = str(uuid4())
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO batch_uploads (id, organization_id, status, attempt, source_type, source, source_event_id,"
            " correlation_id, traceparent, record_type, filename, s3_bucket, s3_key, created_by, accepted_at, etag,"
            " failure_code, failure_message, completed_at)"
            " VALUES (%s, %s, %s, %s, 'api', 'api', %s, 'c', '', 'member_certification', 'a.csv', 'b', 'k', 'tests',"
            " now(), 'e', %s, %s, %s)",
            (
                *(upload_id, DEFAULT_ORGANIZATION, status, attempt, upload_id),
                *(("UNK_001", "why", "2026-01-31") if status == "failed" else (None, None, None)),
            ),
        )
    return upload_id


def letter(url: str, upload_id: str, chunk: int = 0, *, created_at: str = "now") -> str:
    """Something of the upload that was given up on."""
    letter_id = str(uuid4())
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO dead_letters (id, organization_id, batch_upload_id, chunk_number, attempt, reason, tries,"
            " error_code, records, first_row, last_row, created_at)"
            " VALUES (%s, %s, %s, %s, 1, 'the schema is gone', 3, 'UNK_001', 10, 2, 11, %s)",
            (letter_id, DEFAULT_ORGANIZATION, upload_id, chunk, created_at),
        )
    return letter_id


def rows(url: str, query: str, *facts: object) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(query, facts).fetchall()


def noted(url: str, upload_id: str) -> tuple[str, bool] | None:
    found = rows(url, "SELECT requested, undo FROM upload_control WHERE batch_upload_id = %s", upload_id)
    return (found[0]["requested"], found[0]["undo"]) if found else None


def sent(url: str, topic: str) -> list[bytes]:
    return [row["payload"] for row in rows(url, "SELECT payload FROM outbox WHERE topic = %s ORDER BY id", topic)]


def ask(api: httpx.Client, upload_id: str, verb: str, **body: object) -> httpx.Response:
    return api.post(f"{ROOT}/{upload_id}/{verb}", json=body or None)


def test_a_request_is_noted_and_asking_again_changes_nothing(api: httpx.Client, database_url: str) -> None:
    upload_id = upload(database_url)
    for verb, requested in (("pause", "pause"), ("resume", "run"), ("pause", "pause"), ("cancel", "cancel")):
        answers = [ask(api, upload_id, verb) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 200]
        assert [answer.json()["requested"] for answer in answers] == [requested] * 2
        assert noted(database_url, upload_id) == (requested, False)
    assert api.get(f"{ROOT}/{upload_id}").json()["requested"] == "cancel"


def test_what_nobody_asked_anything_of_runs(api: httpx.Client, database_url: str) -> None:
    shown = api.get(f"{ROOT}/{upload(database_url)}").json()
    assert (shown["requested"], shown["undo"], shown["undone_records"], shown["undone_at"]) == ("run", False, 0, None)


def test_undo_is_asked_with_the_cancellation_or_after_it_and_never_taken_back(
    api: httpx.Client, database_url: str
) -> None:
    upload_id, cancelled = upload(database_url), upload(database_url, "cancelled")
    assert ask(api, upload_id, "cancel", undo=True).json()["undo"] is True
    answer = ask(api, upload_id, "cancel", undo=False)
    assert (answer.status_code, answer.json()["undo"]) == (200, True)
    assert [ask(api, cancelled, "cancel", undo=True).status_code for _ in range(2)] == [202, 200]
    assert noted(database_url, cancelled) == ("cancel", True)


@pytest.mark.parametrize("body", [{"undo": 1}, {"undo": "yes"}, {"redo": True}, [], "undo"])
def test_a_cancellation_that_cannot_be_understood_is_refused(
    api: httpx.Client, database_url: str, body: object
) -> None:
    upload_id = upload(database_url)
    answer = api.post(f"{ROOT}/{upload_id}/cancel", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:rowstream:problem:invalid_request")
    assert noted(database_url, upload_id) is None


@pytest.mark.parametrize(
    ("status", "verb"),
    [
        ("completed", "pause"),
        ("failed", "resume"),
        ("completed", "cancel"),
        ("processing", "retry"),
        ("cancelled", "retry"),
    ],
)
def test_what_the_state_does_not_allow_is_told(api: httpx.Client, database_url: str, status: str, verb: str) -> None:
    upload_id = upload(database_url, status)
    answer = ask(api, upload_id, verb)
    body = answer.json()
    assert (answer.status_code, body["type"], body["upload_status"]) == (409, WRONG_STATE, status)
    assert body["detail"].startswith(f"upload {upload_id}: cannot {verb} it: ")
    assert noted(database_url, upload_id) is None


def test_a_retry_begins_the_next_attempt_and_says_so(api: httpx.Client, database_url: str) -> None:
    upload_id = upload(database_url, "failed", attempt=2)
    given_up = letter(database_url, upload_id)
    ask_again = [ask(api, upload_id, "retry") for _ in range(2)]
    assert [answer.status_code for answer in ask_again] == [202, 200]
    shown = ask_again[1].json()
    assert (shown["status"], shown["attempt"], shown["version"], shown["failure_code"], shown["completed_at"]) == (
        *("pending", 3, 2),
        *(None, None),
    )
    (accepted,) = [codec.decode(payload, UploadAccepted) for payload in sent(database_url, UPLOADS)]
    assert (str(accepted.upload_id), accepted.attempt) == (upload_id, 3)
    (told,) = [codec.decode(payload, UploadStatus) for payload in sent(database_url, UPLOAD_STATUS)]
    assert (told.status, told.version, told.attempt, told.failure_code) == ("pending", 2, 3, None)
    assert api.get(f"/api/v1/dead_letters/{given_up}").json()["redriven_at"] is not None


def test_a_failed_upload_is_cancelled_as_an_attempt_of_which_nothing_is_worked_on(
    api: httpx.Client, database_url: str
) -> None:
    upload_id = upload(database_url, "failed")
    given_up = letter(database_url, upload_id)
    codes = [api.post(f"{ROOT}/{upload_id}/cancel", json={"undo": True}).status_code for _ in range(2)]
    assert codes == [202, 200]
    assert noted(database_url, upload_id) == ("cancel", True)
    shown = api.get(f"{ROOT}/{upload_id}").json()
    assert (shown["status"], shown["attempt"], shown["failure_code"]) == ("pending", 2, None)
    assert api.get(f"/api/v1/dead_letters/{given_up}").json()["redriven_at"] is None


def test_an_upload_that_failed_while_it_was_to_pause_runs_when_retried(api: httpx.Client, database_url: str) -> None:
    upload_id = upload(database_url)
    ask(api, upload_id, "pause")
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE batch_uploads SET status = 'failed'")
    assert ask(api, upload_id, "retry").json()["requested"] == "run"


@pytest.mark.parametrize(
    ("status", "verb"), [("processing", Verb.PAUSE), ("processing", Verb.CANCEL), ("failed", Verb.RETRY)]
)
def test_many_requests_at_once_are_one(gateway: Gateway, database_url: str, status: str, verb: Verb) -> None:
    upload_id = upload(database_url, status)
    barrier = Barrier(MANY)

    def one(_: int) -> bool:
        barrier.wait()
        with gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
            return control.ask(connection, UUID(upload_id), verb, by=gateways.doer())

    with ThreadPoolExecutor(MANY) as pool:
        assert sorted(pool.map(one, range(MANY))) == [False] * (MANY - 1) + [True]
    (row,) = rows(database_url, "SELECT attempt, version FROM batch_uploads WHERE id = %s", upload_id)
    assert (row["attempt"], row["version"]) == ((2, 2) if verb is Verb.RETRY else (1, 1))
    assert len(sent(database_url, UPLOADS)) == (verb is Verb.RETRY)


def test_a_request_waits_for_whoever_changes_the_upload_and_then_sees_what_became_of_it(
    api: httpx.Client, database_url: str
) -> None:
    upload_id = upload(database_url)
    with psycopg.connect(database_url) as auditor, ThreadPoolExecutor(1) as pool:
        auditor.execute("UPDATE batch_uploads SET status = 'completed' WHERE id = %s", (upload_id,))
        asked = pool.submit(ask, api, upload_id, "cancel")
        servers.until(
            lambda: bool(rows(database_url, "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'")),
            what="the request to wait",
        )
        auditor.commit()
        assert asked.result().json()["type"] == WRONG_STATE
    assert noted(database_url, upload_id) is None


def test_a_row_that_stays_locked_is_an_answer_and_not_a_wait_for_ever(gateway: Gateway, database_url: str) -> None:
    upload_id = upload(database_url)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM batch_uploads FOR UPDATE")
        with (
            pytest.raises(Retryable, match="lock timeout"),
            gateway.acting_for(DEFAULT_ORGANIZATION) as connection,
        ):
            control.ask(connection, UUID(upload_id), Verb.PAUSE, by=gateways.doer())


def test_whoever_listens_is_woken(api: httpx.Client, database_url: str) -> None:
    upload_id = upload(database_url)
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        ask(api, upload_id, "pause")
        heard = [notice.payload for notice in listener.notifies(timeout=20, stop_after=1)]
    assert heard == [upload_id]


def test_who_asked_is_noted(api: httpx.Client, database_url: str) -> None:
    upload_id = upload(database_url)
    ask(api, upload_id, "pause")
    (row,) = rows(database_url, "SELECT requested_by FROM upload_control WHERE batch_upload_id = %s", upload_id)
    assert row["requested_by"] == "tests"


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retry"])
def test_another_organizations_upload_is_not_there(address: str, database_url: str, verb: str) -> None:
    upload_id = upload(database_url, "failed" if verb == "retry" else "processing")
    other = servers.make_organization(database_url, "other")
    with gateways.client_of(address, gateways.new_key(database_url, other)) as stranger:
        for one in (upload_id, str(uuid4()), "nonsense"):
            answer = ask(stranger, one, verb)
            assert (answer.status_code, answer.json()["type"]) == (404, "urn:rowstream:problem:no_such_upload")
    assert noted(database_url, upload_id) is None
    assert sent(database_url, UPLOADS) == []


def test_dead_letters_are_listed_newest_first_each_once(api: httpx.Client, database_url: str) -> None:
    upload_id, other = upload(database_url, "failed"), upload(database_url, "failed")
    # Some of one moment, so that only the id tells them apart.
    moments = ("2026-01-31 10:00", "2026-01-31 10:00", "2026-01-31 10:00", "2026-01-31 11:00", "2026-01-31 09:00")
    letters = {letter(database_url, upload_id, n, created_at=moment) for n, moment in enumerate(moments)}
    letter(database_url, other)
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while cursor or not found:
        parameters = {"upload_id": upload_id, "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = api.get("/api/v1/dead_letters", params=parameters).json()
        found += page["items"]
        cursor = page["next_cursor"]
    assert [one["created_at"] for one in found] == sorted((one["created_at"] for one in found), reverse=True)
    assert {one["id"] for one in found} == letters
    assert len(found) == len(letters)
    assert len(api.get("/api/v1/dead_letters").json()["items"]) == len(letters) + 1


def test_a_dead_letter_says_what_was_given_up_and_why(api: httpx.Client, database_url: str) -> None:
    upload_id = upload(database_url, "failed")
    shown = api.get(f"/api/v1/dead_letters/{letter(database_url, upload_id, 7)}").json()
    assert shown | {"id": "", "created_at": ""} == {
        "id": "",
        "upload_id": upload_id,
        "filename": "a.csv",
        "upload_status": "failed",
        "chunk_number": 7,
        "attempt": 1,
        "error_code": "UNK_001",
        "reason": "the schema is gone",
        "tries": 3,
        "records": 10,
        "first_row": 2,
        "last_row": 11,
        "created_at": "",
        "redriven_at": None,
    }


def test_dead_letters_of_another_organization_are_not_there(address: str, database_url: str) -> None:
    letter_id = letter(database_url, upload(database_url, "failed"))
    other = servers.make_organization(database_url, "other")
    with gateways.client_of(address, gateways.new_key(database_url, other)) as stranger:
        assert stranger.get("/api/v1/dead_letters").json() == {"items": [], "next_cursor": None}
        for one in (letter_id, str(uuid4()), "nonsense"):
            answer = stranger.get(f"/api/v1/dead_letters/{one}")
            assert (answer.status_code, answer.json()["type"]) == (404, "urn:rowstream:problem:no_such_dead_letter")
