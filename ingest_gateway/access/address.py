"""Where a request comes from, as far as proxies that are trusted say. Pure functions.

A proxy adds the address that it was asked from to the right end of `X-Forwarded-For`. So the list is read from the
right, as long as the one who added is trusted: the first address that is no trusted proxy's is the client's, and
whatever stands to the left of it is what the client says of itself, which nobody believes. The other header, RFC
7239's `Forwarded`, is not read: a proxy that sets one of the two lets the other pass as the client sent it.
"""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from ingest_gateway.http_settings import Network

_MOST_HOPS = 20
_LONGEST = 50  # characters of an address with a zone or a port
_SITE_BITS = 64


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """The rightmost address that is not of a trusted proxy, in its canonical form.

    Args:
        peer: the other end of the connection; None where it has no address.
        forwarded_for: the values of the headers `X-Forwarded-For`, in the order that they came in.
        trusted: the networks of trusted proxies.
    """
    here = _parsed(peer or "")
    if here is None:
        return peer
    hops = [hop for value in forwarded_for for hop in value.split(",")][-_MOST_HOPS:]
    while hops and is_trusted(str(here), trusted):
        before = _parsed(hops.pop())
        if before is None:
            break  # nobody knows who stands behind a name such as "unknown"
        here = before
    return str(here)


def scheme(peer: str | None, own: str, forwarded_proto: Sequence[str], trusted: Sequence[Network]) -> str:
    """`https` if the request came by TLS to us, or to the proxy that is trusted and says so."""
    said = forwarded_proto[-1].rpartition(",")[2].strip().lower() if forwarded_proto else ""
    if said in {"http", "https"} and is_trusted(peer, trusted):
        return said
    return own


def is_trusted(address: str | None, trusted: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks."""
    if not trusted or not address:
        return False
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in trusted)


def site_of(address: str) -> str:
    """What counts as one client: an IPv4 address; of IPv6 the /64, of which everybody has a whole one."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(ipaddress.ip_network((parsed, _SITE_BITS), strict=False))
    return address


@lru_cache(maxsize=4_096)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address as it stands in headers: perhaps with a port, in brackets, with a zone; IPv4 inside IPv6 as IPv4."""
    text = text.strip().strip('"')
    if len(text) > _LONGEST:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
