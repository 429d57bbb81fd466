"""Keeps what stays on this machine away from proxies, which many networks ask for by HTTP_PROXY."""

from collections.abc import Mapping

_HERE = ("localhost", "127.0.0.1", "::1")


def without_proxy_here(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that exempt this machine from the environment's proxies, beside what they exempt already.

    Every HTTP client that the command and the services use reads one of the two spellings; lower case wins, as
    everywhere.
    """
    named = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if named.strip() == "*":
        return {}
    hosts = [host.strip() for host in named.split(",") if host.strip()]
    exempt = ",".join([*hosts, *(host for host in _HERE if host not in hosts)])
    return {"no_proxy": exempt, "NO_PROXY": exempt}
