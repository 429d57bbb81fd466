"""The typed messages between the services, and their encoding."""
