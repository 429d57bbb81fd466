"""The seven ways by which a file comes in, each as a client, a partner or an upstream system goes it."""

import io
import json
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import httpx
import psutil
from confluent_kafka import Producer

from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.kafka.topics import UPLOAD_REQUESTS
from rowstream.storage.parts import LEAST_PART_BYTES
from tests import servers
from tests.whole_system import System

RECORD_TYPE = "member_certification"
UPLOADS = "/api/v1/batch_uploads"
EVENTS_TOPIC = "objects"
EVENTS_PREFIX = "partner/"
_PATIENCE_SECONDS = 180.0


@dataclass(frozen=True)
class Door:
    """A running system, and the servers that files lie on before it has them."""

    system: System
    state: Path
    store: servers.Server
    sshd: servers.Sshd
    folder: str
    """Below the SFTP user's own, where the system looks for files."""

    def stored(self, key: str, body: bytes) -> None:
        """Put an object into the bucket that others may use."""
        servers.store_of(self.store).put(servers.BUCKET, key, io.BytesIO(body))


def sources(store_prefix: str, sshd: servers.Sshd, folder: str) -> str:
    """The sources file of such a system."""
    return f"""
[[s3]]
name = "by-event"
organization = "default"
record_type = "{RECORD_TYPE}"
bucket = "{servers.BUCKET}"
prefix = "{store_prefix}"

[[sftp]]
name = "by-sftp"
organization = "default"
record_type = "{RECORD_TYPE}"
host = "127.0.0.1"
port = {sshd.port}
username = "{sshd.user}"
private_key_file = "{sshd.key}"
known_hosts_file = "{sshd.known_hosts}"
folder = "{sshd.files / folder}"
rename = "*.part"
leave = true
every_seconds = 1
"""


def in_one_request(door: Door, name: str, body: bytes) -> None:
    """The bytes are the request's body."""
    with door.system.api as api:
        asked = {"record_type": RECORD_TYPE, "filename": name}
        api.post(f"{UPLOADS}/content", params=asked, content=body).raise_for_status()


def presigned(door: Door, name: str, body: bytes) -> None:
    """Ask for an address, send the file there as a form, confirm."""
    with door.system.api as api:
        asked = {"record_type": RECORD_TYPE, "filename": name, "size_bytes": len(body)}
        place = api.post(f"{UPLOADS}/presigned_url", json=asked).raise_for_status().json()
        assert place["method"] == "POST", "a strict store takes a form"
        httpx.post(place["url"], data=place["fields"], files={"file": body}, timeout=60).raise_for_status()
        api.post(UPLOADS, json={"upload_id": place["upload_id"]}).raise_for_status()


def in_parts_with_a_kill_between(door: Door, name: str, body: bytes) -> None:
    """The first part is sent, the gateway is killed, and a client that knows only the upload's id sends the rest."""
    with door.system.api as api:
        asked = {"record_type": RECORD_TYPE, "filename": name, "size_bytes": len(body)}
        begun = api.post(f"{UPLOADS}/multipart", json=asked | {"part_bytes": LEAST_PART_BYTES}).raise_for_status()
        upload = f"{UPLOADS}/{begun.json()['upload_id']}"
        _send_part(api, upload, 1, body)
    _kill_gateway(door.system)
    with door.system.api as api:
        there = [part["number"] for part in api.get(f"{upload}/parts").raise_for_status().json()["items"]]
        assert there == [1]
        for number in range(2, begun.json()["parts"] + 1):
            _send_part(api, upload, number, body)
        api.post(f"{upload}/complete").raise_for_status()


def _send_part(api: httpx.Client, upload: str, number: int, body: bytes) -> None:
    signed = api.post(f"{upload}/parts", json={"numbers": [number]}).raise_for_status().json()["items"][0]
    start = (number - 1) * LEAST_PART_BYTES
    part = body[start : start + LEAST_PART_BYTES]
    assert len(part) == signed["size_bytes"]
    httpx.put(signed["url"], content=part, timeout=60).raise_for_status()


def _kill_gateway(system: System) -> None:
    for process in system.processes("ingest_gateway"):
        process.send_signal(signal.SIGKILL)
        with suppress(psutil.NoSuchProcess):
            process.wait(10)

    def ready() -> bool:
        with suppress(httpx.TransportError), system.api as api:
            return api.get("/readyz").status_code == httpx.codes.OK
        return False

    servers.until(ready, seconds=_PATIENCE_SECONDS, what="the gateway after a kill")


def by_reference(door: Door, name: str, body: bytes) -> None:
    """The object lies in the store already, under the organization's prefix, and is named over HTTP."""
    key = f"{DEFAULT_ORGANIZATION}/{name}"
    door.stored(key, body)
    asked = {"record_type": RECORD_TYPE, "bucket": servers.BUCKET, "key": key}
    with door.system.api as api:
        api.post(f"{UPLOADS}/reference", json=asked).raise_for_status()


def by_s3_event(door: Door, name: str, body: bytes) -> None:
    """The object is put where the store tells of it; nobody asks for anything."""
    door.stored(f"{EVENTS_PREFIX}{name}", body)


def by_sftp(door: Door, name: str, body: bytes) -> None:
    """The file lies on a partner's server, under another name until it is whole."""
    place = door.sshd.files / door.folder
    part = place / f"{name}.part"
    part.write_bytes(body)
    part.rename(place / name)


def by_intake_topic(door: Door, name: str, body: bytes) -> None:
    """The object lies in the store already and is named on the topic of requests."""
    key = f"exports/{name}"
    door.stored(key, body)
    headers: dict[str, str | bytes | None] = {
        "ce_specversion": "1.0",
        "ce_id": str(uuid4()),
        "ce_source": "//tests/exports",
        "ce_type": "rowstream.upload_requested",
    }
    asked = {"record_type": RECORD_TYPE, "bucket": servers.BUCKET, "key": key}
    producer = Producer({"bootstrap.servers": door.system.addresses["broker"], "acks": "all"})
    producer.produce(UPLOAD_REQUESTS, json.dumps(asked).encode(), headers=headers)
    assert producer.flush(30) == 0


WAYS: Mapping[str, Callable[[Door, str, bytes], None]] = MappingProxyType(
    {
        "one_request": in_one_request,
        "presigned": presigned,
        "parts": in_parts_with_a_kill_between,
        "reference": by_reference,
        "s3_event": by_s3_event,
        "sftp": by_sftp,
        "intake_topic": by_intake_topic,
    }
)
"""Each takes a name that no other file has, and the file."""


def bring(door: Door, way: str, body: bytes) -> dict[str, Any]:
    """Bring a file in by one of the ways; its upload, once it has ended."""
    name = f"{way}-{uuid4()}.csv"
    WAYS[way](door, name, body)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    found: list[dict[str, Any]] = []
    with door.system.api as api:
        while not (found and found[0]["completed_at"]):
            assert time.monotonic() < deadline, f"{name} did not come to its end: {found}"
            time.sleep(0.2)
            newest = api.get(UPLOADS, params={"limit": 20}).raise_for_status().json()["items"]
            found = [upload for upload in newest if upload["filename"] == name]
    return found[0]
