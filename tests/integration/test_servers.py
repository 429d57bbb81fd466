"""The servers of the tests themselves: isolated, restartable."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from rowstream.kafka.producer import Producer
from rowstream.kafka.topics import TOPICS, UPLOADS, topic_partitions
from rowstream.storage.s3 import S3Store
from tests import servers
from tests.servers import fetch, tools


@pytest.mark.parametrize("_", [1, 2])
def test_each_test_has_a_database_of_its_own(database_url: str, _: int) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT name FROM organizations").fetchall() == [("default",)]
        connection.execute("UPDATE organizations SET name = 'changed'")


def test_the_broker_has_every_topic(broker: str) -> None:
    assert {topic.name for topic in TOPICS} <= topic_partitions(broker).keys()


def test_a_broker_comes_back_with_its_topics(own_broker: servers.Server) -> None:
    own_broker.kill()
    assert not servers.listens(own_broker.port)
    own_broker.start()
    assert {topic.name for topic in TOPICS} <= topic_partitions(own_broker.address).keys()


def test_the_object_store_keeps_objects(store: S3Store) -> None:
    info = store.put(servers.BUCKET, "a/b", io.BytesIO(b"abc"))
    assert store.look(servers.BUCKET, "a/b") == info
    assert info.size == 3


def test_apache_kafka_keeps_its_log_through_a_kill_and_loses_it_when_told(own_kafka: servers.ApacheKafka) -> None:
    assert {topic.name for topic in TOPICS} <= topic_partitions(own_kafka.address).keys()
    producer = Producer(servers.kafka_settings(own_kafka.address))
    producer.send(UPLOADS, b"kept")
    assert producer.flush(20) == 0
    own_kafka.kill()
    assert not servers.listens(own_kafka.port)
    own_kafka.start()
    assert [message.value() for message in servers.messages_in(own_kafka.address, UPLOADS, 1)] == [b"kept"]
    own_kafka.stop()
    own_kafka.lose_log()
    own_kafka.start()
    assert servers.messages_in(own_kafka.address, UPLOADS) == []


def test_a_line_is_cut_and_mended(toxiproxy: servers.Toxiproxy, object_store: servers.Server) -> None:
    line = toxiproxy.line("store", object_store.address)

    def answers() -> bool:
        try:
            httpx.get(f"http://{line.address}/", timeout=1)
        except httpx.TransportError:
            return False
        return True

    assert answers()
    line.cut()
    assert not answers()
    line.mend()
    assert answers()
    line.poison("limit_data", bytes=10)
    assert not answers()
    line.mend()
    assert answers()


def test_redis_counts_and_forgets(redis: servers.Redis) -> None:
    assert [redis.ask("INCR a"), redis.ask("INCR a")] == [":1", ":2"]
    assert redis.ask("PEXPIRE a 10") == ":1"
    servers.until(lambda: redis.ask("EXISTS a") == ":0", what="forgetting")
    assert redis.url == f"redis://{redis.address}/0"


def sftp(server: servers.Sshd, *commands: str, key: Path | None = None) -> subprocess.CompletedProcess[str]:
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityFile": str(key or server.key),
        "UserKnownHostsFile": str(server.known_hosts),
        "StrictHostKeyChecking": "yes",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    command = ["sftp", "-F", "none", *words, "-P", str(server.port), "-b", "-", f"{server.user}@127.0.0.1"]
    return subprocess.run(command, input="\n".join(commands), capture_output=True, text=True, timeout=30, check=False)


def test_files_go_in_and_out_by_sftp(sshd: servers.Sshd, tmp_path: Path) -> None:
    (tmp_path / "members.csv").write_text("a,b\n")
    done = sftp(sshd, f"put {tmp_path}/members.csv new.csv", "rename new.csv in.csv", f"get in.csv {tmp_path}/out.csv")
    assert done.returncode == 0, done.stderr
    assert [(sshd.files / name).exists() for name in ("new.csv", "in.csv")] == [False, True]
    assert (tmp_path / "out.csv").read_text() == "a,b\n"


def test_nobody_comes_in_by_another_key_and_nobody_gets_a_shell(sshd: servers.Sshd) -> None:
    stranger = sftp(sshd, "pwd", key=sshd.known_hosts.with_name("host_key"))
    assert stranger.returncode != 0
    assert "Permission denied (publickey)" in stranger.stderr
    known = f"UserKnownHostsFile={sshd.known_hosts}"
    shell = ["ssh", "-F", "none", "-o", known, "-i", str(sshd.key), "-p", str(sshd.port), f"{sshd.user}@127.0.0.1"]
    refused = subprocess.run([*shell, "echo hello"], capture_output=True, timeout=30, check=False, input=b"")
    assert b"hello" not in refused.stdout


def test_servers_end_with_a_test_run_that_is_killed(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from tests import servers
with servers.object_store_server(Path(sys.argv[1])) as server:
    print(server.process.pid, flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as run:
        assert run.stdout
        server = psutil.Process(int(run.stdout.readline()))
        assert server.is_running()
        run.send_signal(signal.SIGKILL)
    servers.until(lambda: not psutil.pid_exists(server.pid) or server.status() == psutil.STATUS_ZOMBIE)


def test_what_is_not_installed_skips_a_test_but_fails_it_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no java here, which Apache Kafka needs"):
        tools.kafka_jars()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI skips nothing"):
        tools.kafka_jars()


def test_what_cannot_be_fetched_is_said_before_any_test(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROWSTREAM_TESTS_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.delenv("CI", raising=False)
    fetch.main()
    assert "Apache Kafka 4.3.1: no java here, which Apache Kafka needs\n" in capsys.readouterr().out
