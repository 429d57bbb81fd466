"""What the gateway does to every request, whatever its path: whom it believes, how long it waits, what it says."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import httpx
import psycopg
import pytest

from ingest_gateway.api.app import make_app
from ingest_gateway.api.sunset import Retirement, headers_for
from ingest_gateway.settings import GatewaySettings
from rowstream.errors import Fatal
from tests import gateways, servers
from tests.problems import problem
from tests.servers.certificates import Certificates, make_certificates

UPLOADS_PATH = "/api/v1/batch_uploads"
PRESIGN = f"{UPLOADS_PATH}/presigned_url"
PROXY = {"trusted_proxies": "127.0.0.0/8"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def served(url: str, store: servers.Server, **slices: dict[str, Any]) -> Iterator[str]:
    """The address of a gateway with these slices of settings, by name."""
    settings = GatewaySettings.load(database={"url": url}, storage=servers.storage_settings(store), **slices)
    with gateways.serving(settings) as address:
        yield address


def counted(address: str, reason: str) -> float:
    """How many were refused for this reason, in all tests of this process together."""
    lines = httpx.get(f"{address}/metrics", verify=False).text.splitlines()  # noqa: S501 - of no matter here
    label = f'rowstream_refused_total{{reason="{reason}"}}'
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(label)), 0.0)


def line_to(address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=30)


def read_to_end(line: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    received = b""
    try:
        while piece := line.recv(65_536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def send_until_cut(line: socket.socket, piece: bytes, *, pause: float) -> bool:
    """Send the same again and again, slowly, as that is what it is about; whether the other side ended it."""
    begun = time.monotonic()
    try:
        while time.monotonic() - begun < 60:
            line.sendall(piece)
            time.sleep(pause)
    except OSError:
        return True
    return False


class TestProxies:
    """Who is the client, as the uploads say in their trail."""

    def seen_from(self, url: str, address: str, headers: dict[str, str]) -> object:
        with gateways.client_of(address, gateways.new_key(url)) as client:
            wanted = {"record_type": "member_certification", "filename": "a.csv", "size_bytes": 1}
            made = client.post(PRESIGN, json=wanted, headers=headers)
            assert made.status_code == 201, made.text
        with psycopg.connect(url) as connection:
            query = "SELECT created_from FROM batch_uploads WHERE id = %s"
            return (connection.execute(query, (made.json()["upload_id"],)).fetchone() or ("",))[0]

    def test_a_stranger_is_not_believed(self, url: str, object_store: servers.Server) -> None:
        with served(url, object_store) as address:
            headers = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}
            assert self.seen_from(url, address, headers) == "127.0.0.1"
            assert "strict-transport-security" not in httpx.get(f"{address}/healthz", headers=headers).headers

    def test_a_trusted_proxy_is(self, url: str, object_store: servers.Server) -> None:
        with served(url, object_store, http=PROXY) as address:
            assert self.seen_from(url, address, {"X-Forwarded-For": "6.6.6.6, 198.51.100.7"}) == "198.51.100.7"
            by_tls = httpx.get(f"{address}/healthz", headers={"X-Forwarded-Proto": "https"})
            assert by_tls.headers["strict-transport-security"] == "max-age=31536000"
            assert "strict-transport-security" not in httpx.get(f"{address}/healthz").headers

    @pytest.mark.parametrize("wrong", ["10.0.0.0/33", "proxy.example", "10.0.0.1/8"])
    def test_what_is_no_network_stops_the_start(self, wrong: str) -> None:
        with pytest.raises(Fatal, match="ROWSTREAM_HTTP__TRUSTED_PROXIES"):
            GatewaySettings.load(http={"trusted_proxies": wrong})


class TestTls:
    def test_the_gateway_speaks_tls_1_2_and_later_and_says_so(
        self, url: str, object_store: servers.Server, certificates: Certificates
    ) -> None:
        tls = {"certificate_file": str(certificates.certificate), "key_file": str(certificates.key)}
        with served(url, object_store, http=tls) as plain:
            address = plain.replace("http:", "https:")
            trusting = ssl.create_default_context(cafile=str(certificates.authority))
            answer = httpx.get(f"{address}/healthz", verify=trusting)
            assert answer.status_code == 200
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{plain}/healthz")
            old = ssl.create_default_context(cafile=str(certificates.authority))
            old.set_ciphers("ALL:@SECLEVEL=0")
            old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            with line_to(plain) as line, pytest.raises(ssl.SSLError):
                old.wrap_socket(line, server_hostname="127.0.0.1")

    def test_a_certificate_that_cannot_be_used_stops_the_start(
        self, url: str, object_store: servers.Server, certificates: Certificates, tmp_path: Path
    ) -> None:
        missing = {"certificate_file": str(certificates.certificate), "key_file": str(tmp_path / "none.key")}
        wrong = {"certificate_file": str(certificates.certificate), "key_file": str(certificates.authority)}
        for http in (missing, wrong):
            with pytest.raises(Fatal, match="ROWSTREAM_HTTP__KEY_FILE"), served(url, object_store, http=http):
                pass
        with pytest.raises(Fatal, match="certificate_file and key_file go together"):
            GatewaySettings.load(http={"certificate_file": "a"})


class TestBrowsers:
    PAGE = "https://staff.example"
    ASKS: ClassVar = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }

    def test_pages_of_named_origins_may_read_answers_and_refusals(self, url: str, object_store: servers.Server) -> None:
        with served(url, object_store, http={"cors_origins": f"https://other.example, {self.PAGE}"}) as address:
            preflight = httpx.options(f"{address}{PRESIGN}", headers=self.ASKS)
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == self.PAGE
            assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
            assert "access-control-allow-credentials" not in preflight.headers
            refused = httpx.get(f"{address}{UPLOADS_PATH}", headers={"Origin": self.PAGE})
            too_large = httpx.post(f"{address}{PRESIGN}", headers={"Origin": self.PAGE}, content=b"x" * 100_000)
            assert (refused.status_code, too_large.status_code) == (401, 413)
            for answer in (refused, too_large):
                assert answer.headers["access-control-allow-origin"] == self.PAGE
                assert "Retry-After" in answer.headers["access-control-expose-headers"]
            stranger = httpx.options(f"{address}{PRESIGN}", headers={**self.ASKS, "Origin": "https://evil.example"})
            assert stranger.status_code == 400
            assert "access-control-allow-origin" not in stranger.headers

    def test_without_the_setting_no_page_may(self, url: str, object_store: servers.Server) -> None:
        with served(url, object_store) as address:
            assert httpx.options(f"{address}{PRESIGN}", headers=self.ASKS).status_code == 405
            answer = httpx.get(f"{address}{UPLOADS_PATH}", headers={"Origin": self.PAGE})
            assert "access-control-allow-origin" not in answer.headers

    @pytest.mark.parametrize("wrong", ["*", "staff.example", "https://staff.example/page", "https://*.example"])
    def test_what_is_no_origin_stops_the_start(self, wrong: str) -> None:
        with pytest.raises(Fatal, match="ROWSTREAM_HTTP__CORS_ORIGINS"):
            GatewaySettings.load(http={"cors_origins": wrong})

    def test_every_answer_has_the_headers_of_safety(self, url: str, object_store: servers.Server) -> None:
        with served(url, object_store) as address:
            for path in ("/", "/docs", "/healthz", "/nothing", UPLOADS_PATH, "/openapi.json"):
                headers = httpx.get(f"{address}{path}").headers
                assert headers["x-content-type-options"] == "nosniff", path
                assert headers["x-frame-options"] == "DENY"
                assert "default-src 'none'" in headers["content-security-policy"]
                assert headers["cache-control"] == "no-store"
                assert "server" not in headers


class TestHeads:
    """What a head alone is refused for."""

    def test_a_body_of_two_lengths_is_refused_and_the_connection_ends(
        self, url: str, object_store: servers.Server
    ) -> None:
        with served(url, object_store) as address, line_to(address) as line:
            head = f"POST {PRESIGN} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
            line.sendall(head.encode() + b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = read_to_end(line)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"urn:rowstream:problem:length_said_twice" in answer
        assert answer.count(b"HTTP/1.1 ") == 1

    def test_a_target_that_is_too_long_is_refused_and_not_said_again(
        self, url: str, object_store: servers.Server
    ) -> None:
        with served(url, object_store) as address:
            for target in ("/" + "x" * 20_000, "/healthz?" + "x" * 20_000):
                answer = httpx.get(address + target)
                assert (answer.status_code, answer.json()["type"]) == (414, "urn:rowstream:problem:target_too_long")
                assert len(answer.content) < 1_000
            for answer in (httpx.get(f"{address}/{'x' * 8_000}"), httpx.post(f"{address}/{'y' * 8_000}")):
                assert answer.status_code == 404
                assert len(answer.content) < 1_000

    @pytest.mark.parametrize(
        ("head", "code", "kind"),
        [
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 60_000, 431, "head_too_large"),
            (b"GET / HTTP/1.0\r\n" + b"X-Long: x\r\n" * 5_000 + b"\r\n", 431, "head_too_large"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "not_http"),
            (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "not_http"),
            (b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "not_http"),
        ],
    )
    def test_what_is_no_request_is_refused_as_all_else(
        self, url: str, object_store: servers.Server, head: bytes, code: int, kind: str
    ) -> None:
        with served(url, object_store) as address, line_to(address) as line:
            line.sendall(head)
            start, body = read_to_end(line).split(b"\r\n\r\n", 1)
        refusal = json.loads(body)
        assert start.startswith(b"HTTP/1.1 %d " % code)
        assert b"content-type: application/problem+json" in start.lower()
        assert f"x-correlation-id: {refusal['correlation_id']}".encode() in start.lower()
        assert (refusal["type"], refusal["status"]) == (f"urn:rowstream:problem:{kind}", code)

    @pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "Content-Type"])
    def test_a_header_that_others_may_read_otherwise_comes_once(
        self, url: str, object_store: servers.Server, name: str
    ) -> None:
        with served(url, object_store) as address:
            answer = httpx.post(address + PRESIGN, headers=[(name, "a"), (name, "b")])
        assert name in problem(answer, 400, "header_said_twice")["detail"]

    def test_a_body_that_is_encoded_is_not_taken_for_a_file(self, url: str, object_store: servers.Server) -> None:
        with served(url, object_store) as address:
            for encoding, code, kind in (("gzip", 415, "body_encoded"), ("identity", 401, "unauthorized")):
                answer = httpx.post(address + PRESIGN, content=b"a,b\n", headers={"Content-Encoding": encoding})
                problem(answer, code, kind)


class TestPatience:
    """Whoever sends slowly, or without end, is not waited for, and costs nothing."""

    QUICK: ClassVar = {"head_seconds": 0.5, "body_seconds": 0.5}

    @pytest.mark.parametrize("sent", [b"", b"GET ", b"GET /healthz HTTP/1.1\r\nHost: a\r\n"])
    def test_a_head_that_does_not_come_ends_the_connection(
        self, url: str, object_store: servers.Server, sent: bytes
    ) -> None:
        with served(url, object_store, http=self.QUICK) as address:
            before = counted(address, "request_too_slow")
            with line_to(address) as line:
                line.sendall(sent)
                assert read_to_end(line) == b""
            assert counted(address, "request_too_slow") == before + 1

    def test_a_head_that_comes_byte_by_byte_does_too_also_on_a_connection_that_was_used(
        self, url: str, object_store: servers.Server
    ) -> None:
        with served(url, object_store, http=self.QUICK) as address, line_to(address) as line:
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" in line.recv(65_536)
            assert send_until_cut(line, b"G", pause=0.05)

    def test_a_body_that_does_not_come_is_told_so(self, url: str, object_store: servers.Server) -> None:
        key = gateways.new_key(url)
        with served(url, object_store, http=self.QUICK) as address, line_to(address) as line:
            head = (
                f"POST {PRESIGN} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n"
                "Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
            )
            line.sendall(head.encode())
            answer = read_to_end(line)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"urn:rowstream:problem:body_too_slow" in answer

    def test_a_body_without_end_is_not_read_for_ever_after_its_refusal(
        self, url: str, object_store: servers.Server
    ) -> None:
        with served(url, object_store) as address, line_to(address) as line:
            line.sendall(f"POST {PRESIGN} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            assert send_until_cut(line, b"1000\r\n" + b"x" * 0x1000 + b"\r\n", pause=0.001)

    def test_a_head_without_end_is_refused(self, url: str, object_store: servers.Server) -> None:
        with served(url, object_store) as address, line_to(address) as line:
            line.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 200_000)
            assert read_to_end(line)[:12] in {b"HTTP/1.1 431", b""}

    def test_too_many_connections_are_closed_and_those_there_are_go_on(
        self, url: str, object_store: servers.Server
    ) -> None:
        with (
            served(url, object_store, http={"connections_per_address": 3}) as address,
            httpx.Client(base_url=address) as client,
        ):
            assert client.get("/healthz").status_code == 200
            lines = [line_to(address) for _ in range(10)]
            try:
                servers.until(lambda: _refused_connections(client) >= 8, what="the refusal of 8")
                assert client.get("/healthz").status_code == 200
            finally:
                for line in lines:
                    line.close()
            servers.until(lambda: httpx.get(f"{address}/healthz").status_code == 200, what="room for another")

    def test_a_trusted_proxy_may_have_as_many_as_there_are(self, url: str, object_store: servers.Server) -> None:
        few = {"connections_per_address": 2, **PROXY}
        with served(url, object_store, http=few) as address:
            lines = [line_to(address) for _ in range(6)]
            try:
                assert httpx.get(f"{address}/healthz").status_code == 200
            finally:
                for line in lines:
                    line.close()


def _refused_connections(client: httpx.Client) -> float:
    text = client.get("/metrics").text
    start = 'rowstream_refused_total{reason="too_many_connections"} '
    return next((float(line.removeprefix(start)) for line in text.splitlines() if line.startswith(start)), 0.0)


class TestSunset:
    BEGUN, END = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    TABLE: ClassVar = {
        "/api/v0": Retirement(BEGUN, END, "/docs"),
        "/api/v0/part": Retirement(BEGUN, None, "/api/v1/part"),
    }

    @pytest.mark.parametrize(
        ("path", "headers"),
        [
            ("/api/v1/uploads", {}),
            ("/api/v00", {}),
            (
                "/api/v0/uploads",
                {
                    "Deprecation": "@1798761600",
                    "Link": '</docs>; rel="successor-version"',
                    "Sunset": "Sat, 01 Jan 2028 00:00:00 GMT",
                },
            ),
            (
                "/api/v0/part/1",
                {"Deprecation": "@1798761600", "Link": '</api/v1/part>; rel="successor-version"'},
            ),
        ],
    )
    def test_the_longest_fitting_row_says_what_answers_carry(self, path: str, headers: dict[str, str]) -> None:
        assert headers_for(path, self.TABLE) == headers

    def test_answers_of_a_retired_route_carry_it_and_others_do_not(self, store_settings: Any) -> None:
        async def ask(app: Any, path: str) -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
                return await client.get(path)

        with gateways.opened(
            gateways.gateway_settings("postgresql://nobody@127.0.0.1:1/none", store_settings)
        ) as gateway:
            app = make_app(gateway, retirements=self.TABLE)
            app.add_api_route("/api/v0/test-only", lambda: {"still": "here"})
            retired, missing = asyncio.run(ask(app, "/api/v0/test-only")), asyncio.run(ask(app, "/api/v0/nothing"))
            staying = asyncio.run(ask(app, "/healthz"))
        assert retired.json() == {"still": "here"}
        for answer in (retired, missing):
            assert answer.headers["deprecation"] == "@1798761600"
            assert answer.headers["sunset"] == "Sat, 01 Jan 2028 00:00:00 GMT"
        assert not {"deprecation", "sunset", "link"} & staying.headers.keys()

    def test_nothing_is_going_away_yet(self) -> None:
        assert headers_for(UPLOADS_PATH) == {}


def test_what_was_opened_is_closed(url: str, object_store: servers.Server) -> None:
    """Connections that are refused or late leave nothing behind that would keep the server from stopping."""
    with served(url, object_store) as address, closing(line_to(address)) as line:
        line.sendall(b"GET /")
