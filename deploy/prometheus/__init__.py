"""Rules, alerts, and how Prometheus finds the services."""
