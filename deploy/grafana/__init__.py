"""The dashboards, declared in Python and kept as the JSON that Grafana reads."""
