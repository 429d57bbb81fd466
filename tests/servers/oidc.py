"""OpenID Connect providers: one that other people wrote, and one of our own that can be told to lie."""

import base64
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import Key, RSAKey

from tests.servers.server import Server, free_port, running

CLIENT_ID, CLIENT_SECRET = "rowstream", "only between the two: ä/+%"


class OidcProvider(Server):
    """oidc-provider-mock, which knows whoever it was told of and asks for no password."""

    @property
    def issuer(self) -> str:
        """Its address as it names itself."""
        return f"http://localhost:{self.port}"

    def know(self, subject: str, **claims: object) -> None:
        """Vouch for somebody from now on."""
        httpx.put(f"{self.issuer}/users/{quote(subject, safe='')}", json=claims).raise_for_status()

    def authorize(self, address: str, subject: str) -> str:
        """Where the browser is sent back to after somebody has logged in."""
        return httpx.post(address, data={"sub": subject}).headers["location"]


@contextmanager
def oidc_provider_server(folder: Path) -> Iterator[OidcProvider]:
    """A provider, as a process."""
    port = free_port()
    server = OidcProvider(
        name="OpenID Connect provider",
        command=[sys.executable, "-P", "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce"],
        port=port,
        log=folder / "oidc.log",
        environment={"PATH": os.environ["PATH"]},
        ready=lambda: _answers(server),
    )
    with running(server):
        yield server


def _answers(server: OidcProvider) -> bool:
    try:
        return httpx.get(f"{server.issuer}/.well-known/openid-configuration", timeout=5).is_success
    except httpx.HTTPError:
        return False


class Liar:
    """A provider that does all as it should, unless a test changes something.

    Attributes:
        claims: of the next ID token, over those that it should have; None takes one out.
        header: of the next ID token, likewise.
        key: that signs; `published` are those that its address shows.
        raw_token: given in place of an ID token.
        discovery: members over those of the discovery document.
        userinfo: what it says of somebody beside the ID token.
        status: that every endpoint answers with, where it is not 200.
        asked: the paths that were asked for.
    """

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.reset()
        self.key: Key = RSAKey.generate_key(2048, parameters={"use": "sig"}, auto_kid=True)
        self.published: list[Key] = [self.key]

    def reset(self) -> None:
        """Tell the truth again."""
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.discovery: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.raw_token: str | None = None
        self.status = 200
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def document(self) -> dict[str, Any]:
        """Its discovery document."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?prompt=login",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            **self.discovery,
        }

    def authorize(self, address: str) -> str:
        """Where the browser is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert (asked["response_type"], asked["client_id"], asked["prompt"]) == ("code", CLIENT_ID, "login")
        assert asked["code_challenge_method"] == "S256"
        code = str(len(self._codes))
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def redeem(self, body: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """What a code stands for."""
        asked = self._codes.pop(body.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(body.get("code_verifier", "").encode()).digest())
        basic = base64.b64encode(f"{quote(CLIENT_ID, safe='')}:{quote(CLIENT_SECRET, safe='')}".encode()).decode()
        known = authorization == f"Basic {basic}" or body.get("client_secret") == CLIENT_SECRET
        if (
            asked is None
            or not known
            or asked["code_challenge"] != challenge.decode().rstrip("=")
            or asked["redirect_uri"] != body["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant"}
        return 200, {"id_token": self.raw_token or self._id_token(asked["nonce"]), "access_token": "a"}

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "s-1",
            "iat": now,
            "exp": now + 60,
            "nonce": nonce,
            "email": "somebody@example.org",
            "email_verified": True,
            **self.claims,
        }
        header = {"alg": "RS256", "kid": self.key.kid, **self.header}
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(
            {name: value for name, value in header.items() if value is not None},
            kept,
            self.key,
            algorithms=[header["alg"]],
        )


@contextmanager
def lying_provider() -> Iterator[Liar]:
    """A provider on a port of this machine, gone afterwards."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths = {
                "/.well-known/openid-configuration": liar.document(),
                "/jwks": {"keys": [key.as_dict(private=False) for key in liar.published]},
                "/userinfo": liar.userinfo,
            }
            self._answer(200, paths[self.path])

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            body = {name: values[0] for name, values in parse_qs(sent).items()}
            self._answer(*liar.redeem(body, self.headers.get("Authorization", "")))

        def _answer(self, status: int, value: object) -> None:
            liar.asked.append(self.path)
            text = json.dumps(value).encode()
            self.send_response(status if liar.status == 200 else liar.status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        liar = Liar(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield liar
        finally:
            server.shutdown()
            thread.join(10)
