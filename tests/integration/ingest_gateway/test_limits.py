"""Limits on requests: two gateways count together in Redis, one alone without it, and a flood costs nobody else."""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from ingest_gateway.access.limits import Limits
from ingest_gateway.limit_settings import LimitsSlice
from ingest_gateway.settings import GatewaySettings
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.ids import new_id
from tests import gateways, servers

PATH = "/api/v1/batch_uploads?limit=1"
WITHIN = 0.05
FLOODING = Path(__file__).with_name("flooding.py")


@contextmanager
def served(url: str, store: servers.Server, **limits: Any) -> Iterator[str]:
    settings = GatewaySettings.load(database={"url": url}, storage=servers.storage_settings(store), limits=limits)
    with gateways.serving(settings) as address:
        yield address


def drained(ask: list[Callable[[], bool]], *, refusals: int) -> tuple[int, float]:
    """Ask in turn until so many requests were refused; how many passed, and the seconds that it took."""
    passed, refused, begun = 0, 0, time.monotonic()
    while refused < refusals:
        for one in ask:
            if one():
                passed += 1
            else:
                refused += 1
    return passed, time.monotonic() - begun


class TestTogether:
    def test_two_gateways_hold_one_limit_within_five_percent(self, redis: servers.Redis) -> None:
        slice_ = LimitsSlice.model_validate({"redis_url": redis.url, "key_per_minute": 6_000, "burst_seconds": 4})
        both = [Limits(slice_), Limits(slice_)]
        bucket = both[0].of_address(str(new_id()))
        assert bucket
        limit = bucket[1]
        counts: list[int] = []
        end = time.monotonic() + 4

        def work(limits: Limits) -> None:
            passed = 0
            while time.monotonic() < end:
                verdict = limits.take(bucket)
                passed += verdict.allowed
                if not verdict.allowed:
                    time.sleep(verdict.retry_after / 2)
            counts.append(passed)

        begun = time.monotonic()
        threads = [threading.Thread(target=work, args=(limits,)) for limits in both for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = limit.capacity + (time.monotonic() - begun) / limit.interval
        for limits in both:
            limits.close()
        assert sum(counts) == pytest.approx(expected, rel=WITHIN)
        assert all(counts)

    def test_a_token_that_one_gives_back_another_can_take(self, redis: servers.Redis) -> None:
        slice_ = LimitsSlice.model_validate({"redis_url": redis.url, "address_per_minute": 1, "burst_seconds": 180})
        one, other, third = Limits(slice_), Limits(slice_), Limits(slice_)
        bucket = one.of_address("192.0.2.77")
        assert bucket
        one.give_back(bucket)
        assert [limits.take(bucket).allowed for limits in (one, one, one, other)] == [True] * 3 + [False]
        one.give_back(bucket)
        assert [limits.take(bucket).allowed for limits in (third, one)] == [True, False]
        for limits in (one, other, third):
            limits.close()

    def test_so_do_two_over_http(self, database_url: str, object_store: servers.Server, redis: servers.Redis) -> None:
        key = gateways.new_key(database_url)
        with ExitStack() as stack:
            clients = []
            for _ in range(2):
                together = {"redis_url": redis.url, "key_per_minute": 120, "burst_seconds": 15}
                address = stack.enter_context(served(database_url, object_store, **together))
                clients.append(stack.enter_context(gateways.client_of(address, key)))
            first = clients[0].get(PATH)
            assert '"key";q=30;w=15' in first.headers["ratelimit-policy"]
            assert '"key";r=29;t=1' in first.headers["ratelimit"]

            def asks(client: httpx.Client) -> Callable[[], bool]:
                def ask() -> bool:
                    answer = client.get(PATH)
                    assert answer.status_code in {200, 429}
                    if answer.status_code == 429:
                        assert answer.json()["type"] == "urn:rowstream:problem:too_many_requests"
                        assert answer.headers["retry-after"] == "1"
                    return answer.status_code == 200

                return ask

            passed, seconds = drained([asks(client) for client in clients], refusals=20)
        expected = 30 + 2 * seconds
        assert passed + 1 == pytest.approx(expected, rel=WITHIN, abs=1.5)

    def test_without_redis_each_counts_alone_and_says_so_and_with_it_back_they_count_together(
        self, tmp_path: Path
    ) -> None:
        said: list[str | None] = []
        with servers.redis_server(tmp_path) as redis:
            slice_ = LimitsSlice.model_validate({"redis_url": redis.url, "address_per_minute": 60, "burst_seconds": 3})
            one, other = Limits(slice_, said.append), Limits(slice_)
            bucket = one.of_address("192.0.2.1")
            assert bucket
            assert [limits.take(bucket).allowed for limits in (one, other, one, other)] == [True] * 3 + [False]
            redis.kill()
            while one.look(bucket).debt > 0.5:
                time.sleep(0.1)  # what was known of Redis holds on
            assert one.take(bucket).allowed
            assert said == ["what the gateways share does not answer, each counts alone"]
            redis.start()

            def shared_again() -> bool:
                one.take(bucket)
                return said[-1] is None

            servers.until(shared_again, what="Redis being asked again")
            assert len(said) == 2
            one.close()
            other.close()

    def test_a_gateway_whose_redis_is_away_serves_and_is_ready_and_says_what_it_lacks(
        self, database_url: str, object_store: servers.Server
    ) -> None:
        dead = f"redis://:secret@127.0.0.1:{servers.free_port()}/0"
        with (
            served(database_url, object_store, redis_url=dead, key_per_minute=6, burst_seconds=30) as address,
            gateways.client_of(address, gateways.new_key(database_url)) as client,
        ):
            codes = Counter(client.get(PATH).status_code for _ in range(5))
            assert codes.keys() == {200, 429}
            said = httpx.get(f"{address}/readyz").json()  # without the key, whose tokens are used up
            assert said["degraded"] == ["rate limits: what the gateways share does not answer, each counts alone"]
            assert 'rowstream_degraded{part="rate limits"} 1.0' in httpx.get(f"{address}/metrics").text


class TestWhose:
    def test_each_key_has_its_own_and_the_organization_one_for_all(
        self, database_url: str, object_store: servers.Server
    ) -> None:
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "UPDATE organizations SET requests_per_minute = 6 WHERE id = %s", (DEFAULT_ORGANIZATION,)
            )
        other = servers.make_organization(database_url, "other")
        few = {"key_per_minute": 2, "burst_seconds": 60}
        with served(database_url, object_store, **few) as address:

            def tried(key: str) -> list[str]:
                with gateways.client_of(address, key) as client:
                    answers = [client.get(PATH) for _ in range(5)]
                return [
                    "" if answer.status_code == 200 else answer.json()["violated_policies"][0] for answer in answers
                ]

            first, theirs = gateways.new_key(database_url), gateways.new_key(database_url, other)
            assert tried(first) == ["", "", "key", "key", "key"]
            refusals = [tried(gateways.new_key(database_url)) for _ in range(6)]
            assert refusals[0][:2] == ["", ""], "another key has tokens of its own"
            assert "organization" in refusals[-1], "but not more than there are for all together"
            assert tried(theirs)[:2] == ["", ""], "another organization is not concerned"

    def test_who_is_known_to_be_refused_is_not_looked_up_again(
        self, database_url: str, object_store: servers.Server
    ) -> None:
        key = gateways.new_key(database_url)
        with (
            served(database_url, object_store, key_per_minute=1, burst_seconds=1) as address,
            gateways.client_of(address, key) as client,
        ):
            assert [client.get(PATH).status_code for _ in range(2)] == [200, 429]
            with psycopg.connect(database_url) as connection:
                connection.execute("ALTER TABLE api_keys RENAME TO away")
                connection.commit()
                assert client.get(PATH).status_code == 429
                connection.execute("ALTER TABLE away RENAME TO api_keys")
                connection.commit()

    def test_an_address_is_refused_before_anybody_is_asked_who_they_are(
        self, database_url: str, object_store: servers.Server
    ) -> None:
        with (
            served(database_url, object_store, address_per_minute=60, burst_seconds=3) as address,
            httpx.Client(base_url=address) as client,
        ):
            codes = [client.get("/api/v1/batch_uploads").status_code for _ in range(8)]
            assert codes[:3] == [401] * 3
            assert 429 in codes
            assert client.get("/healthz").status_code == 200, "probes are always answered"
            neighbour = httpx.HTTPTransport(local_address="127.0.0.2")
            with httpx.Client(base_url=address, transport=neighbour) as other:
                assert other.get("/api/v1/batch_uploads").status_code == 401

    def test_limits_of_0_are_none(self, database_url: str, object_store: servers.Server) -> None:
        off = dict.fromkeys(("address_per_minute", "key_per_minute", "organization_per_minute"), 0)
        with (
            served(database_url, object_store, **off) as address,
            gateways.client_of(address, gateways.new_key(database_url)) as client,
        ):
            answer = client.get(PATH)
            assert answer.status_code == 200
            assert not {"ratelimit", "ratelimit-policy"} & answer.headers.keys()


class TestFlood:
    SECONDS = 4.0

    @pytest.fixture
    def gateway(self, tmp_path: Path, database_url: str, object_store: servers.Server) -> Iterator[servers.Server]:
        """A gateway as a process of its own, without a broker: nothing here is published."""
        port = servers.free_port()
        server = servers.Server(
            name="gateway",
            command=[sys.executable, "-m", "ingest_gateway"],
            port=port,
            log=tmp_path / "gateway.log",
            environment={
                "PATH": os.defpath,
                "ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{servers.free_port()}",
                "ROWSTREAM_DATABASE__URL": database_url,
                "ROWSTREAM_STORAGE__ENDPOINT_URL": f"http://{object_store.address}",
                "ROWSTREAM_STORAGE__ACCESS_KEY_ID": "tests",
                "ROWSTREAM_STORAGE__SECRET_ACCESS_KEY": "tests-secret",
                "ROWSTREAM_HTTP__PORT": str(port),
            },
            ready=lambda: servers.listens(port),
        )
        server.start()
        try:
            yield server
        finally:
            server.kill()

    @pytest.mark.parametrize("form", ["closed", "open"])
    def test_it_is_refused_quietly_and_others_are_served(
        self, form: str, gateway: servers.Server, database_url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        flooding = gateways.new_key(database_url)
        other = gateways.new_key(database_url, servers.make_organization(database_url, "other"))
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "UPDATE organizations SET requests_per_minute = 60 WHERE id = %s", (DEFAULT_ORGANIZATION,)
            )
        assert gateway.process
        process = psutil.Process(gateway.process.pid)
        with gateways.client_of(f"http://{gateway.address}", other) as client:

            def times(until: float) -> list[float]:
                taken: list[float] = []
                while time.monotonic() < until or len(taken) < 10:
                    begun = time.monotonic()
                    assert client.get(PATH).status_code == 200
                    taken.append(time.monotonic() - begun)
                    time.sleep(0.05)
                return taken

            times(0)
            idle, memory = times(time.monotonic() + 2), process.memory_info().rss
            command = [sys.executable, str(FLOODING), str(gateway.port), flooding, str(self.SECONDS), form]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as flood:
                busy = times(time.monotonic() + self.SECONDS)
                answers = json.loads(flood.communicate(timeout=60)[0])
            grown = process.memory_info().rss - memory
        assert answers.keys() <= {"200", "429", "sent", "unsent"}
        assert answers["429"] > answers.get("200", 0) / 2
        assert grown < 50_000_000
        lines = gateway.log.read_text().splitlines()
        assert sum("too many requests" in line for line in lines) <= self.SECONDS / 10 + 2, "it is quiet"
        assert not [line for line in lines if '"status": 429' in line]
        ratio = statistics.quantiles(busy, n=20)[-1] / statistics.quantiles(idle, n=20)[-1]
        with capsys.disabled():
            sys.stdout.write(f"p95 of others {ratio:.2f} times their idle one, under {form} {answers} ")
