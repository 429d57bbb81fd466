"""Partners' servers that cannot be had, or mean harm: nothing is taken, it is said why, and all else goes on."""

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh
import psutil
import pytest
from prometheus_client import REGISTRY

from ingest_gateway.arrivals import sftp_run, sftp_server
from ingest_gateway.arrivals.sftp_errors import PartnerAway
from ingest_gateway.gateway import Gateway
from ingest_gateway.sources import SourcesFile
from rowstream.runtime.sources import SftpSource
from rowstream.storage.s3 import S3Store
from tests import servers
from tests.hostile_sftp import EndlessFile, EndlessFolder, Hostile, LyingNames, Silent, hostile_server
from tests.partners import Partner, look_once, rows, states, stored, uploads, write_sources


def new_key(folder: Path) -> Path:
    path = folder / "other_key"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(path))
    return path


def refused(gateway: Gateway, source: SftpSource) -> PartnerAway:
    with pytest.raises(PartnerAway) as refusal:
        look_once(gateway, source)
    return refusal.value


def test_a_server_whose_key_is_unknown_or_was_changed_is_sent_nothing(
    gateway: Gateway, partner: Partner, tmp_path: Path
) -> None:
    partner.put("a.csv")
    known_hosts = tmp_path / "known"
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    known_hosts.write_text(f"[127.0.0.1]:{partner.server.port} {other}")
    logged = partner.server.log.read_text().count("Accepted publickey")
    changed = refused(gateway, partner.source(known_hosts_file=str(known_hosts)))
    assert changed.why == "host_key"
    assert "is not the one in" in str(changed)
    assert "it was changed, or somebody is in between" in str(changed)
    for text in ("", f"[127.0.0.1]:1 {partner.server.known_hosts.read_text().split(' ', 1)[1]}"):
        known_hosts.write_text(text)
        unknown = refused(gateway, partner.source(known_hosts_file=str(known_hosts)))
        assert unknown.why == "host_key"
        assert f"is not in {known_hosts}" in str(unknown)
        assert f"ssh-keyscan -p {partner.server.port} 127.0.0.1" in str(unknown)
    assert partner.server.log.read_text().count("Accepted publickey") == logged
    assert partner.names() == ["a.csv"]


def test_only_the_key_that_the_source_names_is_shown(
    gateway: Gateway, partner: Partner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an agent with the right key nor the user's own key, configuration or password are of use."""
    home = tmp_path / "home" / ".ssh"
    home.mkdir(parents=True)
    (home / "id_ed25519").write_bytes(partner.server.key.read_bytes())
    (home / "config").write_text(f"Host *\n  IdentityFile {partner.server.key}\n  UserKnownHostsFile /dev/null\n")
    monkeypatch.setenv("HOME", str(home.parent))
    with agent(tmp_path / "agent", partner.server.key) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        wrong = refused(gateway, partner.source(private_key_file=str(new_key(tmp_path))))
    assert wrong.why == "login"
    assert "refuses the key of" in str(wrong)
    assert "have the partner add its public half" in str(wrong)


@contextmanager
def agent(socket: Path, key: Path) -> Iterator[Path]:
    """An agent that offers this key."""
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as running:
        try:
            servers.until(socket.exists, what="the agent")
            environment = {"SSH_AUTH_SOCK": str(socket), "PATH": os.environ["PATH"]}
            subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True, timeout=30)
            yield socket
        finally:
            running.kill()


@pytest.mark.parametrize(
    ("fields", "why", "message"),
    [
        ({"private_key_file": "/nowhere/key"}, "settings", "private_key_file /nowhere/key: No such file or directory"),
        ({"private_key_file": "/etc/hostname"}, "settings", "holds no key without a passphrase"),
        ({"known_hosts_file": "/nowhere/known"}, "settings", "known_hosts_file /nowhere/known: No such file"),
        ({"organization": "nobody"}, "settings", "there is no organization 'nobody'"),
        ({"folder": "here", "move_to": "./here"}, "settings", "is the folder itself"),
        ({"folder": "/nowhere/at/all"}, "folder", "has no folder /nowhere/at/all"),
        ({"host": "no-such-host.invalid"}, "unreachable", "cannot be reached"),
    ],
)
def test_what_is_wrong_with_a_source_is_said(
    gateway: Gateway, partner: Partner, fields: Mapping[str, Any], why: str, message: str
) -> None:
    away = refused(gateway, partner.source(**fields))
    assert away.why == why
    assert message in str(away)


def test_a_key_with_a_passphrase_is_refused_by_name(gateway: Gateway, partner: Partner, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "passphrase", "-f", str(key)]
    subprocess.run(words, check=True, timeout=60)
    assert "holds no key without a passphrase" in str(refused(gateway, partner.source(private_key_file=str(key))))


def test_a_server_that_is_not_there_is_unreachable(gateway: Gateway, partner: Partner) -> None:
    away = refused(gateway, partner.source(port=servers.free_port()))
    assert away.why == "unreachable"
    assert "cannot be reached" in str(away)


def test_a_line_that_is_cut_in_the_middle_leaves_nothing_half(
    gateway: Gateway,
    database_url: str,
    partner: Partner,
    store: S3Store,
    toxiproxy: servers.Toxiproxy,
    tmp_path: Path,
) -> None:
    line = toxiproxy.line("sftp", partner.server.address)
    known_hosts = tmp_path / "known"
    known_hosts.write_text(f"[127.0.0.1]:{line.port} {partner.server.known_hosts.read_text().split(' ', 1)[1]}")
    source = partner.source(port=line.port, known_hosts_file=str(known_hosts), every_seconds=3_600)
    content = os.urandom(3_000_000)
    partner.put("a.csv", content)
    line.poison("limit_data", bytes=1_000_000)
    assert refused(gateway, source).why == "unreachable"
    assert uploads(database_url) == []
    assert states(database_url)["a.csv"][0] == "left"
    line.mend()
    look_once(gateway, source)  # it is not tried again at once
    assert uploads(database_url) == []
    rows(database_url, "UPDATE sftp_files SET changed_at = changed_at - interval '1 hour' RETURNING 1")
    look_once(gateway, source)
    assert stored(database_url, store) == [content]


@contextmanager
def hostile_source(partner: Partner, folder: Path, kind: type[asyncssh.SFTPServer]) -> Iterator[SftpSource]:
    with hostile_server(folder / "hostile", kind) as server:
        yield source_of(partner, server)


def source_of(partner: Partner, server: Hostile) -> SftpSource:
    return partner.source(
        port=server.port, private_key_file=str(server.key), known_hosts_file=str(server.known_hosts), folder="."
    )


def test_a_folder_that_lists_for_ever_is_listed_up_to_a_bound(
    gateway: Gateway, partner: Partner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setattr(sftp_server, "MOST_NAMES", 1_000)
    with hostile_source(partner, tmp_path, EndlessFolder) as source:
        settled = source.model_copy(update={"rename": None, "settled_seconds": 60.0})
        assert look_once(gateway, settled)
    assert rows(database_url, "SELECT count(*) FROM sftp_files WHERE state = 'seen'") == [(1_000,)]


def test_names_that_lead_elsewhere_are_left(
    gateway: Gateway, partner: Partner, tmp_path: Path, database_url: str
) -> None:
    with hostile_source(partner, tmp_path, LyingNames) as source:
        look_once(gateway, source)
    assert uploads(database_url) == []
    reasons = rows(database_url, "SELECT state, reason, count(*) FROM sftp_files GROUP BY 1, 2 ORDER BY 3")
    assert reasons == [
        ("left", "its name has more than 255 bytes; shorten it", 1),
        ("left", "the server lists a name that no file can have", 3),
    ]


def test_a_file_with_more_than_it_says_fills_no_memory(
    gateway: Gateway, partner: Partner, tmp_path: Path, database_url: str
) -> None:
    before = psutil.Process().memory_info().rss
    with hostile_source(partner, tmp_path, EndlessFile) as source:
        look_once(gateway, source)
    assert uploads(database_url) == []
    assert psutil.Process().memory_info().rss < before + 200e6


def test_a_server_that_never_answers_is_left_in_time(
    gateway: Gateway, partner: Partner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sftp_server, "_LIST_SECONDS", 0.5)
    monkeypatch.setattr(sftp_server, "_LEAVE_SECONDS", 0.5)
    with hostile_source(partner, tmp_path, Silent) as source:
        away = refused(gateway, source)
    assert away.why == "unreachable"
    assert "does not answer in time" in str(away)


@contextmanager
def following(gateway: Gateway, file: Path) -> Iterator[None]:
    """The gateway's thread that follows all sources in this file."""
    stop = threading.Event()
    sources = SourcesFile(file)
    thread = threading.Thread(target=sftp_run.run, args=(gateway, sources, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def away(source: str, reason: str) -> float | None:
    return REGISTRY.get_sample_value("rowstream_sftp_away", {"source": source, "reason": reason})


def test_a_partner_who_is_away_costs_the_others_nothing_and_comes_back(
    gateway: Gateway, database_url: str, partner: Partner, tmp_path: Path, toxiproxy: servers.Toxiproxy
) -> None:
    line = toxiproxy.line("sftp", partner.server.address)
    line.cut()
    known_hosts = tmp_path / "known"
    known_hosts.write_text(f"[127.0.0.1]:{line.port} {partner.server.known_hosts.read_text().split(' ', 1)[1]}")
    gone = partner.says(name="gone", pattern="g*", port=line.port, known_hosts_file=str(known_hosts))
    stranger = partner.says(name="stranger", pattern="s*", known_hosts_file="/dev/null")
    file = tmp_path / "sources.toml"
    write_sources(file, gone, stranger, partner.says(name="well", pattern="w*"))
    for name in ("g.csv", "s.csv", "w.csv"):
        partner.put(name)
    with following(gateway, file):
        servers.until(lambda: uploads(database_url) == [("w.csv", 3)], seconds=60, what="the well partner's file")
        servers.until(lambda: away("gone", "unreachable") == 1, seconds=60, what="the alarm for who is away")
        servers.until(lambda: away("stranger", "host_key") == 1, seconds=60, what="the alarm for the host key")
        assert away("well", "unreachable") == 0
        line.mend()
        servers.until(lambda: len(uploads(database_url)) == 2, seconds=90, what="the file of who came back")
        servers.until(lambda: away("gone", "unreachable") == 0, seconds=60, what="the end of the alarm")
        write_sources(file, partner.says(name="well", pattern="*"))
        servers.until(lambda: len(uploads(database_url)) == 3, seconds=90, what="what the changed file names")
        servers.until(lambda: away("stranger", "host_key") == 0, seconds=60, what="the end of a source")
