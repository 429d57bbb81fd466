"""Settings, logging, metrics, health, shutdown."""
