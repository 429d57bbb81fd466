"""What a service says of itself over HTTP, asked cheaply enough to ask again and again."""

import json
from http.client import HTTPException

from rowstream.stack.probes import get


def readiness(port: int) -> tuple[int, list[str]]:
    """Status of /readyz, and what is waited for; 0 while nobody answers, or says nothing that can be read."""
    try:
        status, body = get(port, "/readyz")
        return status, json.loads(body)["waiting_for"]
    except (OSError, HTTPException, ValueError, KeyError):
        return 0, []


def metric(port: int, name: str) -> float:
    """The sum of a metric over its labels."""
    lines = get(port, "/metrics")[1].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)
