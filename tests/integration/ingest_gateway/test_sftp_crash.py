"""A gateway that is killed at any step of fetching a file: the next look finishes it, and stores nothing again."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from ingest_gateway.gateway import Gateway
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.runtime.settings import StorageSettings
from rowstream.runtime.steps import Step
from rowstream.storage.s3 import S3Store
from tests import gateways, servers
from tests.partners import Partner, look_once, rows, states, stored, uploads

STEPS = (Step.SFTP_FILE_CLAIMED, Step.SFTP_FILE_STORED, Step.UPLOAD_ACCEPTED, Step.SFTP_FILE_PUT_ASIDE)


@pytest.fixture
def partner(sshd: servers.Sshd, tmp_path: Path) -> Partner:
    folder = tmp_path / "partner"
    folder.mkdir()
    return Partner(server=sshd, folder=folder)


@pytest.fixture
def gateway(database_url: str, store_settings: StorageSettings) -> Iterator[Gateway]:
    with gateways.opened(gateways.gateway_settings(database_url, store_settings)) as gateway:
        yield gateway


def dies_after(step: Step, url: str, settings: StorageSettings, partner: Partner) -> None:
    """One look by a process of its own, which kills itself after this step."""
    secret = settings.secret_access_key
    storage = settings.model_dump(mode="json") | {"secret_access_key": secret.get_secret_value() if secret else None}
    words = [url, json.dumps(storage), json.dumps(partner.says()), step.value]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.sftp_victim", *words],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


def objects(settings: StorageSettings) -> set[str]:
    """The keys of all uploads' objects in the store."""
    secret = settings.secret_access_key
    assert secret
    client = boto3.client(
        "s3",
        endpoint_url=settings.endpoint_url,
        region_name=settings.region,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=secret.get_secret_value(),
    )
    listed = client.list_objects_v2(Bucket=settings.bucket, Prefix=f"raw-uploads/{DEFAULT_ORGANIZATION}/")
    client.close()
    return {entry["Key"] for entry in listed.get("Contents", ())}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.value)
def test_a_file_is_taken_once_wherever_the_gateway_dies(
    database_url: str,
    gateway: Gateway,
    store_settings: StorageSettings,
    store: S3Store,
    partner: Partner,
    step: Step,
) -> None:
    partner.put("a.csv", b"once")
    before = objects(store_settings)
    dies_after(step, database_url, store_settings, partner)
    stored_then = objects(store_settings) - before
    accepted_then = rows(database_url, "SELECT id FROM batch_uploads")
    assert len(stored_then) == (step is not Step.SFTP_FILE_CLAIMED)
    assert len(accepted_then) == (step in STEPS[2:])

    servers.until(lambda: look_once(gateway, partner.source()), what="the right to the source, which the dead one had")
    assert uploads(database_url) == [("a.csv", 4)]
    assert stored(database_url, store) == [b"once"]
    (key,) = objects(store_settings) - before
    assert stored_then <= {key}, "what was stored before the gateway died was stored once more"
    assert accepted_then in ([], rows(database_url, "SELECT id FROM batch_uploads"))
    assert (partner.names(), partner.names("taken")) == ([], ["a.csv"])
    assert states(database_url) == {"a.csv": ("taken", None)}


def test_what_was_stored_of_a_file_that_was_taken_away_is_removed(
    database_url: str, gateway: Gateway, store_settings: StorageSettings, partner: Partner
) -> None:
    path = partner.put("a.csv", b"once")
    before = objects(store_settings)
    dies_after(Step.SFTP_FILE_STORED, database_url, store_settings, partner)
    assert len(objects(store_settings) - before) == 1
    path.unlink()
    servers.until(lambda: look_once(gateway, partner.source()), what="the right to the source, which the dead one had")
    assert objects(store_settings) == before
    assert (uploads(database_url), states(database_url)) == ([], {})
