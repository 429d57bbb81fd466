"""The HTTP API's contract: what each request is answered, on a real database and a real object store."""

import re
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.database.tables import batch_uploads
from rowstream.kafka.topics import UPLOAD_STATUS, UPLOADS
from rowstream.messages import codec
from rowstream.messages.upload_accepted import UploadAccepted
from rowstream.messages.upload_status import UploadStatus
from rowstream.records.registry import record_types
from tests import gateways, servers
from tests.problems import problem

PRESIGN = "/api/v1/batch_uploads/presigned_url"
UPLOADS_PATH = "/api/v1/batch_uploads"
MAX_BYTES = 1_000_000
WANTED = {"record_type": "member_certification", "filename": "members.csv", "size_bytes": 3}
NOBODYS = "0198c0de-0000-7000-8000-0000000000ff"
JSON = {"Content-Type": "application/json"}
CONTROL = ("pause", "resume", "cancel", "retry")


@pytest.fixture(scope="module")
def address(url: str, object_store: servers.Server) -> Iterator[str]:
    settings = gateways.gateway_settings(url, servers.storage_settings(object_store), max_upload_bytes=MAX_BYTES)
    with gateways.serving(settings) as address:
        yield address


def latin(**headers: str) -> dict[bytes, bytes]:
    """Headers as bytes, so that characters beyond ASCII get through the client."""
    return {name.encode(): value.encode("latin-1") for name, value in headers.items()}


def presign(api: httpx.Client, key: str | None = None, **changed: object) -> httpx.Response:
    return api.post(PRESIGN, json={**WANTED, **changed}, headers={"Idempotency-Key": key} if key else {})


def place(api: httpx.Client, body: bytes = b"abc") -> str:
    """The id of an upload whose file was sent."""
    made = presign(api, size_bytes=len(body)).json()
    assert httpx.put(made["url"], content=body).is_success
    return str(made["upload_id"])


def confirm(api: httpx.Client, upload_id: str) -> httpx.Response:
    return api.post(UPLOADS_PATH, json={"upload_id": upload_id})


def accepted(api: httpx.Client) -> str:
    upload_id = place(api)
    assert confirm(api, upload_id).status_code == 202
    return upload_id


class TestPresign:
    def test_it_makes_an_upload_that_waits_for_its_file(self, api: httpx.Client, url: str) -> None:
        answer = presign(api)
        made = answer.json()
        assert answer.status_code == 201
        assert made.keys() == {"upload_id", "method", "url", "fields", "expires_at"}
        assert (made["method"], made["fields"]) == ("PUT", {})
        left = datetime.fromisoformat(made["expires_at"]).timestamp() - datetime.now().astimezone().timestamp()
        assert 3_590 < left <= 3_600
        assert api.get(f"{UPLOADS_PATH}/{made['upload_id']}").json()["status"] == "awaiting_upload"
        with psycopg.connect(url) as connection:
            bucket, key = connection.execute(
                "SELECT s3_bucket, s3_key FROM batch_uploads WHERE id = %s", (made["upload_id"],)
            ).fetchone() or ("", "")
        assert (bucket, key) == (servers.BUCKET, f"raw-uploads/{DEFAULT_ORGANIZATION}/{made['upload_id']}")

    def test_the_same_key_and_body_are_the_same_upload(self, api: httpx.Client) -> None:
        key = str(uuid4())
        first, again = presign(api, key), presign(api, key)
        assert again.status_code == 201
        assert again.json()["upload_id"] == first.json()["upload_id"]
        assert httpx.put(again.json()["url"], content=b"abc").is_success
        assert confirm(api, first.json()["upload_id"]).status_code == 202

    def test_without_a_key_each_request_is_another_upload(self, api: httpx.Client) -> None:
        assert presign(api).json()["upload_id"] != presign(api).json()["upload_id"]

    @pytest.mark.parametrize("changed", [{"filename": "other.csv"}, {"size_bytes": 4}])
    def test_the_same_key_with_another_body_is_refused(self, api: httpx.Client, changed: dict[str, object]) -> None:
        key = str(uuid4())
        first = presign(api, key)
        problem(presign(api, key, **changed), 422, "idempotency_key_reused")
        kept = api.get(f"{UPLOADS_PATH}/{first.json()['upload_id']}").json()
        assert (kept["filename"], kept["size_bytes"]) == (WANTED["filename"], WANTED["size_bytes"])

    def test_keys_of_two_organizations_do_not_meet(self, api: httpx.Client, other: httpx.Client) -> None:
        key = str(uuid4())
        assert presign(api, key).json()["upload_id"] != presign(other, key).json()["upload_id"]

    def test_the_key_of_a_confirmed_upload_leads_to_it(self, api: httpx.Client) -> None:
        key = str(uuid4())
        made = presign(api, key).json()
        httpx.put(made["url"], content=b"abc")
        confirm(api, made["upload_id"])
        body = problem(presign(api, key), 409, "upload_not_waiting")
        assert (body["upload_id"], body["upload_status"]) == (made["upload_id"], "pending")

    def test_an_unknown_record_type_names_the_known_ones(self, api: httpx.Client) -> None:
        body = problem(presign(api, record_type="nonsense"), 422, "unknown_record_type")
        assert body["known_record_types"] == list(record_types())
        assert "member_certification" in body["detail"]

    def test_a_file_that_is_too_large_is_refused(self, api: httpx.Client) -> None:
        assert presign(api, size_bytes=MAX_BYTES).status_code == 201
        body = problem(presign(api, size_bytes=MAX_BYTES + 1), 413, "file_too_large")
        assert body["max_upload_bytes"] == MAX_BYTES

    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            ("../../etc/passwd", "passwd"),
            ("C:\\fakepath\\members.csv", "members.csv"),
            ("a\x00b\r\nc.csv", "abc.csv"),
            ("\u202egnp.csv", "gnp.csv"),
            ("  Mitglieder für März 🙂.csv  ", "Mitglieder für März 🙂.csv"),
            ("x" * 255, "x" * 255),
            ("<script>alert(1)</script>", "script>"),
            ("'; DROP TABLE batch_uploads; --", "'; DROP TABLE batch_uploads; --"),
        ],
    )
    def test_the_filename_is_only_data(self, api: httpx.Client, given: str, shown: str) -> None:
        answer = presign(api, filename=given)
        assert answer.status_code == 201, answer.text
        assert api.get(f"{UPLOADS_PATH}/{answer.json()['upload_id']}").json()["filename"] == shown

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "body.record_type"),
            ({**WANTED, "filename": ""}, "body.filename"),
            ({**WANTED, "filename": " \n\t"}, "body.filename"),
            ({**WANTED, "filename": "folder/"}, "body.filename"),
            ({**WANTED, "filename": "x" * 256}, "body.filename"),
            ({**WANTED, "filename": None}, "body.filename"),
            ({**WANTED, "size_bytes": -1}, "body.size_bytes"),
            ({**WANTED, "size_bytes": "3"}, "body.size_bytes"),
            ({**WANTED, "size_bytes": 1.5}, "body.size_bytes"),
            ({**WANTED, "size_bytes": True}, "body.size_bytes"),
            ({**WANTED, "size": 3}, "body.size"),
            ([WANTED], "body"),
        ],
    )
    def test_a_request_that_is_not_as_it_should_be_is_told_where(
        self, api: httpx.Client, body: object, field: str
    ) -> None:
        errors = problem(api.post(PRESIGN, json=body), 422, "invalid_request")["errors"]
        assert field in [error["field"] for error in errors]

    @pytest.mark.parametrize("key", ["", "x" * 256, "with space", "caf\u00e9"])
    def test_an_idempotency_key_must_be_plain(self, api: httpx.Client, key: str) -> None:
        answer = api.post(PRESIGN, json=WANTED, headers=latin(**{"Idempotency-Key": key}))
        detail = problem(answer, 422, "invalid_idempotency_key")["detail"]
        assert "Idempotency-Key" in detail


class TestConfirm:
    def test_it_accepts_the_upload_and_says_so_in_the_outbox(self, api: httpx.Client, url: str) -> None:
        upload_id = place(api)
        answer = confirm(api, upload_id)
        assert answer.status_code == 202
        assert answer.headers["location"] == f"{UPLOADS_PATH}/{upload_id}"
        upload = answer.json()
        assert (upload["id"], upload["status"], upload["version"]) == (upload_id, "pending", 2)
        assert upload["etag"] == "900150983cd24fb0d6963f7d28e17f72"
        assert upload["size_bytes"] == 3
        with psycopg.connect(url) as connection:
            rows = connection.execute(
                "SELECT topic, payload, headers FROM outbox WHERE message_key = %s ORDER BY topic",
                (upload_id.encode(),),
            ).fetchall()
        (status_topic, status, _), (topic, payload, headers) = rows
        assert (status_topic, topic) == (UPLOAD_STATUS, UPLOADS)
        message = codec.decode(payload, UploadAccepted)
        assert (message.upload_id, message.organization_id) == (UUID(upload_id), DEFAULT_ORGANIZATION)
        assert (message.attempt, message.record_type) == (1, "member_certification")
        assert codec.decode(status, UploadStatus).status == "pending"
        assert headers["correlation_id"] == upload["correlation_id"]
        assert headers["traceparent"].split("-")[1] == upload["traceparent"].split("-")[1]
        assert headers["ce_type"] == "rowstream.upload_accepted"

    def test_confirming_again_gives_the_same_upload_and_says_nothing_twice(self, api: httpx.Client, url: str) -> None:
        upload_id = accepted(api)
        again = confirm(api, upload_id)
        assert again.status_code == 200
        assert (again.json()["id"], again.json()["version"]) == (upload_id, 2)
        with psycopg.connect(url) as connection:
            count = connection.execute("SELECT count(*) FROM outbox WHERE message_key = %s", (upload_id.encode(),))
            assert count.fetchone() == (2,)

    def test_before_the_file_is_there_it_says_what_to_do(self, api: httpx.Client) -> None:
        made = presign(api).json()
        assert "presigned URL" in problem(confirm(api, made["upload_id"]), 409, "file_not_there")["detail"]
        httpx.put(made["url"], content=b"abc")
        assert confirm(api, made["upload_id"]).status_code == 202

    def test_another_size_than_announced_is_refused(self, api: httpx.Client) -> None:
        made = presign(api, size_bytes=5).json()
        httpx.put(made["url"], content=b"abc")
        detail = problem(confirm(api, made["upload_id"]), 409, "size_differs")["detail"]
        assert "3 bytes, 5" in detail
        httpx.put(made["url"], content=b"abcde")
        assert confirm(api, made["upload_id"]).status_code == 202

    def test_a_stored_file_that_is_too_large_is_refused(self, api: httpx.Client) -> None:
        upload_id = place(api, body=b"x" * 10)
        made = presign(api).json()
        httpx.put(made["url"], content=b"x" * (MAX_BYTES + 1))
        problem(confirm(api, made["upload_id"]), 413, "file_too_large")
        assert confirm(api, upload_id).status_code == 202

    def test_an_empty_file_is_accepted_here_and_judged_by_the_splitter(self, api: httpx.Client) -> None:
        assert confirm(api, place(api, body=b"")).status_code == 202

    @pytest.mark.parametrize("status", ["processing", "completed", "failed", "cancelled"])
    def test_an_upload_that_went_on_is_shown_as_it_is(self, api: httpx.Client, url: str, status: str) -> None:
        upload_id = accepted(api)
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE batch_uploads SET status = %s WHERE id = %s", (status, upload_id))
        assert (confirm(api, upload_id).status_code, confirm(api, upload_id).json()["status"]) == (200, status)

    def test_an_upload_that_was_given_up_is_not_accepted(self, api: httpx.Client, url: str) -> None:
        upload_id = place(api)
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE batch_uploads SET status = 'failed' WHERE id = %s", (upload_id,))
        assert "new upload" in problem(confirm(api, upload_id), 409, "upload_given_up")["detail"]
        assert api.get(f"{UPLOADS_PATH}/{upload_id}").json()["status"] == "failed"

    def test_an_unknown_id_is_not_found(self, api: httpx.Client) -> None:
        unknown = str(uuid4())
        assert unknown in problem(confirm(api, unknown), 404, "no_such_upload")["detail"]

    def test_what_is_no_id_is_invalid(self, api: httpx.Client) -> None:
        errors = problem(confirm(api, "nonsense"), 422, "invalid_request")["errors"]
        assert [error["field"] for error in errors] == ["body.upload_id"]


class TestUpload:
    def test_it_is_the_columns_by_name_and_more(self, api: httpx.Client) -> None:
        upload = api.get(f"{UPLOADS_PATH}/{accepted(api)}").json()
        columns = {column.name for column in batch_uploads.c} - {"s3_bucket", "s3_key", "body_sha256"}
        progress = {"duration_ms", "records_split", "bytes_read", "errors_by_code", "content_sha256", "duplicate_of"}
        assert upload.keys() == columns | progress | {"requested", "undo", "undone_records", "undone_at"}

    def test_progress_comes_from_the_splitter_and_the_duration_from_the_database(
        self, api: httpx.Client, url: str
    ) -> None:
        upload_id = accepted(api)
        assert api.get(f"{UPLOADS_PATH}/{upload_id}").json()["records_split"] == 0
        with psycopg.connect(url) as connection:
            connection.execute(
                "INSERT INTO upload_splits (organization_id, batch_upload_id, attempt, record_type, records_split,"
                " bytes_read) VALUES (%s, %s, 1, 'member_certification', 7, 99)",
                (DEFAULT_ORGANIZATION, upload_id),
            )
            connection.execute(
                "UPDATE batch_uploads SET status = 'completed', errors_by_code = '{\"VAL_001\": 2}',"
                " completed_at = accepted_at + interval '1.5 seconds' WHERE id = %s",
                (upload_id,),
            )
        upload = api.get(f"{UPLOADS_PATH}/{upload_id}").json()
        assert (upload["records_split"], upload["bytes_read"], upload["duration_ms"]) == (7, 99, 1500)
        assert upload["errors_by_code"] == {"VAL_001": 2}

    @pytest.mark.parametrize("upload_id", [NOBODYS, "nonsense", "0", "%00", "' OR 1=1"])
    @pytest.mark.parametrize("rest", ["", "/errors", "/errors?format=csv"])
    def test_an_unknown_id_is_not_found(self, api: httpx.Client, upload_id: str, rest: str) -> None:
        answer = api.get(f"{UPLOADS_PATH}/{upload_id}{rest}")
        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:rowstream:problem:no_such_upload"

    def test_another_organizations_upload_is_not_found(self, api: httpx.Client, other: httpx.Client) -> None:
        upload_id = accepted(api)
        for path in ("", "/errors", "/errors?format=csv", "/errors?format=jsonl"):
            problem(other.get(f"{UPLOADS_PATH}/{upload_id}{path}"), 404, "no_such_upload")
        problem(confirm(other, upload_id), 404, "no_such_upload")
        assert other.get(UPLOADS_PATH).json() == {"items": [], "next_cursor": None}


class TestList:
    def test_pages_hold_each_upload_once_newest_first(self, other: httpx.Client) -> None:
        made = [presign(other).json()["upload_id"] for _ in range(5)]
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = other.get(UPLOADS_PATH, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
            assert len(page["items"]) <= 2
            seen += [upload["id"] for upload in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == made[::-1]

    def test_uploads_of_one_moment_are_not_skipped(self, other: httpx.Client, url: str) -> None:
        made = {presign(other).json()["upload_id"] for _ in range(3)}
        with psycopg.connect(url) as connection:
            connection.execute(
                "UPDATE batch_uploads SET created_at = '2026-01-01' WHERE id = ANY(%s::uuid[])", (list(made),)
            )
        first = other.get(UPLOADS_PATH, params={"limit": 1}).json()
        second = other.get(UPLOADS_PATH, params={"limit": 5, "cursor": first["next_cursor"]}).json()
        assert {upload["id"] for upload in first["items"] + second["items"]} == made
        assert len(second["items"]) == 2

    def test_it_is_filtered(self, other: httpx.Client) -> None:
        waiting, pending = presign(other).json()["upload_id"], accepted(other)

        def ids(**filters: str) -> list[str]:
            return [upload["id"] for upload in other.get(UPLOADS_PATH, params=filters).json()["items"]]

        assert ids(status="pending") == [pending]
        assert ids(status="awaiting_upload") == [waiting]
        assert ids(record_type="member_certification") == [pending, waiting]
        assert ids(record_type="other") == []

    @pytest.mark.parametrize(
        ("query", "kind"),
        [
            ("limit=0", "invalid_request"),
            ("limit=201", "invalid_request"),
            ("limit=x", "invalid_request"),
            ("status=nonsense", "invalid_request"),
            ("record_type=%00", "invalid_request"),
            ("cursor=nonsense", "invalid_cursor"),
            ("cursor=%F0%9F%99%82", "invalid_cursor"),
            ("cursor=WyJhIiwiYiJd", "invalid_cursor"),
        ],
    )
    def test_wrong_parameters_are_refused(self, api: httpx.Client, query: str, kind: str) -> None:
        body = problem(api.get(f"{UPLOADS_PATH}?{query}"), 422, kind)
        assert query.partition("=")[0] in body["detail"]


class TestKeys:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", PRESIGN),
            ("POST", UPLOADS_PATH),
            ("GET", UPLOADS_PATH),
            ("GET", f"{UPLOADS_PATH}/{NOBODYS}"),
            ("GET", f"{UPLOADS_PATH}/{NOBODYS}/errors"),
            *(("POST", f"{UPLOADS_PATH}/{NOBODYS}/{verb}") for verb in CONTROL),
            ("GET", "/api/v1/dead_letters"),
            ("GET", f"/api/v1/dead_letters/{NOBODYS}"),
            ("GET", "/api/v1/record_types"),
        ],
    )
    def test_every_operation_needs_a_key(self, address: str, method: str, path: str) -> None:
        answer = httpx.request(method, address + path)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == 'Bearer realm="rowstream"'

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", "Basic dXNlcjpwYXNz", "rs_x", "Bearer \u00e9"])
    def test_what_is_no_valid_key_is_refused(self, address: str, header: str) -> None:
        answer = httpx.get(address + UPLOADS_PATH, headers=latin(Authorization=header))
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")

    @pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
    def test_a_revoked_or_expired_key_is_refused_at_once(self, address: str, url: str, column: str) -> None:
        key = gateways.new_key(url)
        with gateways.client_of(address, key) as client, psycopg.connect(url, autocommit=True) as connection:
            assert client.get(UPLOADS_PATH).status_code == 200
            connection.execute(
                f"UPDATE api_keys SET {column} = now() WHERE key_hash = sha256(%s)",  # noqa: S608 - a name of ours
                (key.encode(),),
            )
            problem(client.get(UPLOADS_PATH), 401, "unauthorized")


class TestEdge:
    @pytest.mark.parametrize("said", ["abc-123", "A.b_c:d/e+f=@", "x" * 128])
    def test_a_correlation_id_is_kept(self, api: httpx.Client, said: str) -> None:
        answer = api.post(PRESIGN, json=WANTED, headers={"X-Correlation-ID": said})
        assert answer.headers["x-correlation-id"] == said
        upload = api.get(f"{UPLOADS_PATH}/{answer.json()['upload_id']}").json()
        assert upload["correlation_id"] == said

    @pytest.mark.parametrize("said", [None, "", "with space", "x" * 129, "<script>", "caf\u00e9"])
    def test_one_that_is_missing_or_unfit_is_made_anew(self, api: httpx.Client, said: str | None) -> None:
        headers: dict[bytes, bytes] = {} if said is None else latin(**{"X-Correlation-ID": said})
        made = api.get(UPLOADS_PATH, headers=headers).headers["x-correlation-id"]
        assert UUID(made).version == 7

    @pytest.mark.parametrize(("said", "kept"), [("00-" + "a" * 32 + "-" + "b" * 16 + "-01", True), ("x", False)])
    def test_a_trace_goes_on(self, api: httpx.Client, said: str, kept: bool) -> None:  # noqa: FBT001 - a table's column
        made = api.post(PRESIGN, json=WANTED, headers={"traceparent": said}).json()
        trace = api.get(f"{UPLOADS_PATH}/{made['upload_id']}").json()["traceparent"]
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", trace)
        assert ("a" * 32 in trace) is kept
        assert "b" * 16 not in trace

    @pytest.mark.parametrize("path", [UPLOADS_PATH, "/nonsense", "/docs", "/healthz", "/openapi.json"])
    def test_answers_are_safe_to_show(self, api: httpx.Client, path: str) -> None:
        headers = api.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"

    def test_a_body_that_is_too_large_is_not_read(self, api: httpx.Client) -> None:
        body = problem(api.post(PRESIGN, content=b"x" * 65_537, headers=JSON), 413, "body_too_large")
        assert "65536 bytes" in body["detail"]
        chunks = (b"x" * 1_000 for _ in range(100))
        problem(api.post(PRESIGN, content=chunks, headers=JSON), 413, "body_too_large")

    @pytest.mark.parametrize(
        ("body", "status", "kind"),
        [
            (b"{", 400, "not_json"),
            (b'"\xff"', 400, "not_json"),
            (b"[" * 20_000, 400, "not_json"),
            (b"1" * 10_000, 400, "not_json"),
            (b"null", 422, "invalid_request"),
            (b'{"record_type": "\\ud800", "filename": "a", "size_bytes": 1}', 422, "unknown_record_type"),
            (
                b'{"record_type": "member_certification", "filename": "\\ud800", "size_bytes": 1}',
                422,
                "invalid_request",
            ),
            (b'{"record_type": "a\\u0000", "filename": "a", "size_bytes": 1}', 422, "unknown_record_type"),
        ],
    )
    def test_a_body_that_cannot_be_read_is_refused(
        self, api: httpx.Client, body: bytes, status: int, kind: str
    ) -> None:
        problem(api.post(PRESIGN, content=body, headers=JSON), status, kind)
        assert api.get(UPLOADS_PATH).status_code == 200, "the service goes on"

    def test_a_body_that_is_not_said_to_be_json_is_told_so(self, api: httpx.Client) -> None:
        answer = api.post(PRESIGN, content=b"{}", headers={"Content-Type": "text/plain"})
        assert "application/json" in problem(answer, 422, "invalid_request")["detail"]

    def test_unknown_paths_and_methods_are_problems_too(self, api: httpx.Client) -> None:
        problem(api.get("/api/v1/nonsense"), 404, "no_such_path")
        answer = api.delete(UPLOADS_PATH)
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, POST"

    def test_requests_are_counted_by_route_and_never_by_id(self, api: httpx.Client) -> None:
        upload_id = presign(api).json()["upload_id"]
        api.get(f"{UPLOADS_PATH}/{upload_id}")
        metrics = api.get("/metrics").text
        assert (
            'rowstream_http_requests_total{method="GET",route="/api/v1/batch_uploads/{upload_id}",status="200"}'
            in metrics
        )
        assert upload_id not in metrics


class TestPages:
    def test_record_types_are_listed_as_declared(self, api: httpx.Client) -> None:
        listed = api.get("/api/v1/record_types").json()
        assert [item["name"] for item in listed["items"]] == list(record_types())
        assert listed["next_cursor"] is None
        member = next(item for item in listed["items"] if item["name"] == "member_certification")
        declared = record_types()["member_certification"]
        assert member == {
            "name": declared.name,
            "title": declared.title,
            "version": declared.version,
            "columns": list(declared.columns),
            "required": list(declared.required),
            "key": list(declared.key),
        }

    def test_the_index_leads_to_the_rest(self, api: httpx.Client) -> None:
        links = api.get("/").json()["links"]
        assert links
        for path in links:
            assert api.get(path).status_code in {200, 503}, path
        page = api.get("/", headers={"Accept": "text/html,*/*"})
        assert page.headers["content-type"].startswith("text/html")
        assert all(f'href="{path}"' in page.text for path in links)

    def test_the_docs_show_every_operation_and_ask_no_other_server(self, api: httpx.Client) -> None:
        page, openapi = api.get("/docs").text, api.get("/openapi.json").json()
        for path, methods in openapi["paths"].items():
            for operation in methods.values():
                assert f'id="{operation["operationId"]}"' in page, path
        assert "://" not in page
        assert "<script" not in page

    def test_every_error_of_every_operation_is_described_as_a_problem(self, api: httpx.Client) -> None:
        openapi = api.get("/openapi.json").json()
        described = [
            (path, code, answer)
            for path, methods in openapi["paths"].items()
            for operation in methods.values()
            for code, answer in operation["responses"].items()
            if code >= "400"
        ]
        assert described
        for path, code, answer in described:
            assert list(answer["content"]) == ["application/problem+json"], (path, code)
        text = api.get("/openapi.json").text
        for name in set(re.findall(r"#/components/schemas/(\w+)", text)):
            assert name in openapi["components"]["schemas"]

    @pytest.mark.parametrize("verb", CONTROL)
    def test_control_is_described_with_both_answers_that_mean_yes(self, api: httpx.Client, verb: str) -> None:
        openapi = api.get("/openapi.json").json()
        (operation,) = openapi["paths"][f"{UPLOADS_PATH}/{{upload_id}}/{verb}"].values()
        assert {"200", "202", "401", "404", "409", "503"} <= operation["responses"].keys()
        for code in ("200", "202"):
            schema = operation["responses"][code]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Upload"}
        assert ("requestBody" in operation) == (verb == "cancel")
        assert not operation.get("requestBody", {}).get("required", False)


class TestAway:
    def test_without_its_database_it_says_to_try_again(self, object_store: servers.Server) -> None:
        dead = f"postgresql://postgres@127.0.0.1:{servers.free_port()}/none"
        settings = gateways.gateway_settings(dead, servers.storage_settings(object_store))
        with gateways.serving(settings) as address, gateways.client_of(address, "rs_any") as client:
            answer = client.get(UPLOADS_PATH)
            detail = problem(answer, 503, "unavailable")["detail"]
            assert answer.headers["retry-after"] == "2"
            assert "127.0.0.1" not in detail

    def test_without_its_object_store_it_says_to_try_again(
        self, database_url: str, object_store: servers.Server
    ) -> None:
        storage = servers.storage_settings(object_store)
        away = storage.model_copy(update={"endpoint_url": f"http://127.0.0.1:{servers.free_port()}"})
        with (
            gateways.serving(gateways.gateway_settings(database_url, away)) as address,
            gateways.client_of(address, gateways.new_key(database_url)) as client,
        ):
            upload_id = presign(client).json()["upload_id"]
            problem(confirm(client, upload_id), 503, "unavailable")
            assert client.get(f"{UPLOADS_PATH}/{upload_id}").json()["status"] == "awaiting_upload"

    def test_a_fault_of_ours_is_a_problem_that_tells_nothing_of_the_inside(
        self, database_url: str, object_store: servers.Server
    ) -> None:
        settings = gateways.gateway_settings(database_url, servers.storage_settings(object_store))
        with (
            gateways.serving(settings) as address,
            gateways.client_of(address, gateways.new_key(database_url)) as client,
            psycopg.connect(database_url, autocommit=True) as connection,
        ):
            connection.execute("ALTER TABLE batch_uploads RENAME COLUMN filename TO other_name")
            body = problem(client.get(UPLOADS_PATH), 500, "internal_error")
            assert "filename" not in str(body)
            assert "SELECT" not in str(body)


def test_presigned_post_carries_its_fields(url: str, object_store: servers.Server) -> None:
    storage = servers.storage_settings(object_store).model_copy(update={"presigned_post": True})
    with (
        gateways.serving(gateways.gateway_settings(url, storage)) as address,
        gateways.client_of(address, gateways.new_key(url)) as client,
    ):
        made = presign(client).json()
        assert made["method"] == "POST"
        assert {"key", "policy"} <= made["fields"].keys()


def test_what_is_sent_is_stored_where_the_upload_says(
    api: httpx.Client, url: str, object_store: servers.Server
) -> None:
    upload_id = place(api, body=b"hello")
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT s3_bucket, s3_key FROM batch_uploads WHERE id = %s", (upload_id,)).fetchone()
    assert row
    store = servers.store_of(object_store)
    info = store.look(*row)
    stream = store.open(*row, etag=info.etag, size=info.size)
    assert stream.read(100) == b"hello"
    stream.close()
