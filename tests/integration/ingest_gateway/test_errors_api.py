"""The rejected records of an upload, from a real database, as pages and as streams."""

import csv
import io
import json
from collections.abc import Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest

from ingest_gateway.api.errors import STREAM_PAGE
from rowstream.database.keys import DEFAULT_ORGANIZATION
from tests import gateways, servers

UPLOADS = "/api/v1/batch_uploads"


@pytest.fixture
def api(database_url: str, object_store: servers.Server) -> Iterator[httpx.Client]:
    settings = gateways.gateway_settings(database_url, servers.storage_settings(object_store))
    with (
        gateways.serving(settings) as address,
        gateways.client_of(address, gateways.new_key(database_url)) as client,
    ):
        yield client


def upload_with_errors(url: str, count: int, *, filename: str = "members.csv", cell_length: int = 1) -> str:
    """An upload with this many rejections: rows 2, 4, 6, ...; every fifth could not be parsed."""
    upload_id = str(uuid4())
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO batch_uploads (id, organization_id, status, source_type, source, source_event_id,"
            " correlation_id, traceparent, record_type, filename, s3_bucket, s3_key, created_by)"
            " VALUES (%s, %s, 'completed', 'api', 'api', %s, '', '', 'member_certification', %s, 'b', 'k', 'tests')",
            (upload_id, DEFAULT_ORGANIZATION, upload_id, filename),
        )
        plan = {"columns": [{"header": "Zip Code", "name": "zip_code"}, {"header": "Extra", "name": None}]}
        connection.execute(
            "INSERT INTO upload_splits (organization_id, batch_upload_id, attempt, record_type, plan)"
            " VALUES (%s, %s, 1, 'member_certification', %s)",
            (DEFAULT_ORGANIZATION, upload_id, json.dumps(plan)),
        )
        connection.execute(
            "INSERT INTO batch_upload_errors (organization_id, batch_upload_id, row_number, error_code, error_message,"
            " errors, row_data, raw_text) SELECT %s, %s, n * 2, CASE WHEN n %% 5 = 0 THEN 'VAL_008' ELSE 'VAL_001' END,"
            " 'wrong', '[]', CASE WHEN n %% 5 > 0 THEN"
            " jsonb_build_object('Extra', '=' || n, 'Zip Code', repeat('x', %s)) END,"
            " CASE WHEN n %% 5 = 0 THEN '\"open' END FROM generate_series(1, %s) AS n",
            (DEFAULT_ORGANIZATION, upload_id, cell_length, count),
        )
    return upload_id


def test_pages_hold_each_rejection_once_in_row_order(api: httpx.Client, database_url: str) -> None:
    upload_id = upload_with_errors(database_url, 7)
    rows: list[int] = []
    cursor: str | None = None
    while True:
        params = {"limit": "3", **({"cursor": cursor} if cursor else {})}
        page = api.get(f"{UPLOADS}/{upload_id}/errors", params=params).json()
        rows += [item["row_number"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert rows == [2, 4, 6, 8, 10, 12, 14]


def test_a_rejection_has_its_cells_in_file_order(api: httpx.Client, database_url: str) -> None:
    upload_id = upload_with_errors(database_url, 5)
    answer = api.get(f"{UPLOADS}/{upload_id}/errors")
    items = answer.json()["items"]
    assert items[0] == {
        "row_number": 2,
        "error_code": "VAL_001",
        "error_message": "wrong",
        "errors": [],
        "row_data": {"Zip Code": "x", "Extra": "=1"},
        "raw_text": None,
    }
    assert list(items[0]["row_data"]) == ["Zip Code", "Extra"]
    assert (items[4]["row_data"], items[4]["raw_text"]) == (None, '"open')


@pytest.mark.parametrize("form", ["json", "csv", "jsonl"])
def test_they_are_filtered_by_code(api: httpx.Client, database_url: str, form: str) -> None:
    upload_id = upload_with_errors(database_url, 10)
    answer = api.get(f"{UPLOADS}/{upload_id}/errors", params={"code": "VAL_008", "format": form})
    assert answer.text.count("VAL_008") == 2
    assert "VAL_001" not in answer.text


@pytest.mark.parametrize("query", ["code=%00", "code=val", "limit=0", "limit=1001", "format=xml", "cursor=x"])
def test_wrong_parameters_are_refused(api: httpx.Client, database_url: str, query: str) -> None:
    upload_id = upload_with_errors(database_url, 1)
    assert api.get(f"{UPLOADS}/{upload_id}/errors?{query}").status_code == 422


@pytest.mark.parametrize("count", [0, 1, STREAM_PAGE - 1, STREAM_PAGE, STREAM_PAGE + 1, 2 * STREAM_PAGE])
def test_the_csv_holds_all_of_them(api: httpx.Client, database_url: str, count: int) -> None:
    upload_id = upload_with_errors(database_url, count, filename='Mä"rz.csv')
    answer = api.get(f"{UPLOADS}/{upload_id}/errors", params={"format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith('attachment; filename="errors-Ma_rz.csv"')
    header, *rows = csv.reader(io.StringIO(answer.text, newline=""))
    assert header == ["Zip Code", "Extra", "row_number", "error_code", "error_message"]
    assert [int(row[2]) for row in rows] == [2 * n for n in range(1, count + 1)]
    if count:
        assert rows[0] == ["x", "'=1", "2", "VAL_001", "wrong"]


def test_json_lines_hold_all_of_them(api: httpx.Client, database_url: str) -> None:
    upload_id = upload_with_errors(database_url, STREAM_PAGE + 3)
    answer = api.get(f"{UPLOADS}/{upload_id}/errors", params={"format": "jsonl"})
    assert answer.headers["content-disposition"].startswith('attachment; filename="errors-members.jsonl"')
    rows = [json.loads(line)["row_number"] for line in answer.text.splitlines()]
    assert rows == [2 * n for n in range(1, STREAM_PAGE + 4)]


def test_without_a_plan_there_are_only_our_own_columns(api: httpx.Client, database_url: str) -> None:
    upload_id = upload_with_errors(database_url, 1)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE upload_splits SET plan = NULL")
    text = api.get(f"{UPLOADS}/{upload_id}/errors", params={"format": "csv"}).text
    assert text == "row_number,error_code,error_message\r\n2,VAL_001,wrong\r\n"


def test_a_stream_that_breaks_is_cut_and_never_looks_whole(api: httpx.Client, database_url: str) -> None:
    """Pages of 20 MB fill every buffer between, so the next page is read only when the client reads on."""
    upload_id = upload_with_errors(database_url, 3 * STREAM_PAGE, cell_length=10_000)
    with (
        api.stream("GET", f"{UPLOADS}/{upload_id}/errors", params={"format": "csv"}) as answer,
        psycopg.connect(database_url, autocommit=True) as connection,
    ):
        assert answer.status_code == 200
        connection.execute("REVOKE SELECT ON batch_upload_errors FROM rowstream_gateway")
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in answer.iter_bytes():
                pass


def test_a_slow_reader_holds_no_connection(api: httpx.Client, database_url: str) -> None:
    upload_id = upload_with_errors(database_url, 3 * STREAM_PAGE, cell_length=10_000)
    with api.stream("GET", f"{UPLOADS}/{upload_id}/errors", params={"format": "csv"}) as answer:
        blocks = answer.iter_bytes()
        begun = next(blocks)
        with psycopg.connect(database_url) as connection:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rowstream-gateway' AND state <> 'idle'"
            )
            servers.until(lambda: connection.execute(query).fetchone() == (0,), what="the end of its transaction")
        lines = begun.count(b"\r\n") + sum(block.count(b"\r\n") for block in blocks)
    assert lines == 1 + 3 * STREAM_PAGE, "and what it reads later is there"
