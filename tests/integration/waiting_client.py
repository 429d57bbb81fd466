"""A process that waits with a Kafka client: `python waiting_client.py BOOTSTRAP_SERVERS`; says `waits` first."""

import sys

from rowstream.kafka.producer import Producer
from rowstream.runtime.logging import configure_logging
from rowstream.runtime.settings import KafkaSettings

if __name__ == "__main__":
    configure_logging("waiting", "info")
    producer = Producer(KafkaSettings(bootstrap_servers=sys.argv[1]))
    sys.stdout.write("waits\n")
    sys.stdout.flush()
    while True:
        producer.poll(0.1)
