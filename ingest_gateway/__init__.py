"""The front door: HTTP API, intake topic, outbox relay."""
