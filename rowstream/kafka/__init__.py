"""The Kafka client: consumer loop, producer, topics, dead letters."""
