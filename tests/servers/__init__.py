"""The real servers that tests run against: brokers, databases, object stores and others; none of them is ever mocked.

Each is a child of the test run on a free port of this machine, ends with it even when it is killed, and can be stopped,
killed and started again by a test that wants to see a fault. The kernel ends a server with the thread that started it:
start none in a thread that ends before the test does.
"""

from tests.servers.broker import Broker
from tests.servers.clients import kafka_settings, make_organization, messages_in, storage_settings, store_of
from tests.servers.kafka import ApacheKafka, kafka_server
from tests.servers.localbucket import BUCKET, object_store_server
from tests.servers.postgres import Postgres, postgres_server
from tests.servers.redis import Redis, redis_server
from tests.servers.server import Server, free_port, listens, until
from tests.servers.sshd import Sshd, sshd_server
from tests.servers.tansu import Tansu, broker_server
from tests.servers.toxiproxy import Line, Toxiproxy, toxiproxy_server
from tests.servers.versitygw import versitygw_server

__all__ = [
    "BUCKET",
    "ApacheKafka",
    "Broker",
    "Line",
    "Postgres",
    "Redis",
    "Server",
    "Sshd",
    "Tansu",
    "Toxiproxy",
    "broker_server",
    "free_port",
    "kafka_server",
    "kafka_settings",
    "listens",
    "make_organization",
    "messages_in",
    "object_store_server",
    "postgres_server",
    "redis_server",
    "sshd_server",
    "storage_settings",
    "store_of",
    "toxiproxy_server",
    "until",
    "versitygw_server",
]
