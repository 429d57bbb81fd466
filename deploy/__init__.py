"""What stands around the services when they are run for real: metrics, dashboards, containers."""
