"""Which parts of the API are going away: said in every answer of theirs, from one table.

The API's version is in its paths (`/api/v1/...`). A version that has a successor, or a single path that has, gets a
row here: from then on its answers carry `Deprecation` (RFC 9745), `Sunset` (RFC 8594) once its end is set, and a link
to the page that says what to use instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Retirement:
    """A part of the API that should not be used any more (`deprecated_at`), and may end (`ends_at`); times are UTC."""

    deprecated_at: datetime
    ends_at: datetime | None
    successor: str


RETIREMENTS: Mapping[str, Retirement] = MappingProxyType({})
"""By the beginning of the path, in whole parts: `/api/v1`, `/api/v1/batch_uploads`. The longest one that fits holds."""


def headers_for(path: str, retirements: Mapping[str, Retirement] = RETIREMENTS) -> dict[str, str]:
    """The headers that answers of this path have on account of its retirement; none for a path that stays."""
    fitting = (prefix for prefix in retirements if path == prefix or path.startswith(f"{prefix}/"))
    prefix = max(fitting, key=len, default=None)
    if prefix is None:
        return {}
    retirement = retirements[prefix]
    headers = {
        "Deprecation": f"@{int(retirement.deprecated_at.timestamp())}",
        "Link": f'<{retirement.successor}>; rel="successor-version"',
    }
    if retirement.ends_at is not None:
        headers["Sunset"] = format_datetime(retirement.ends_at, usegmt=True)
    return headers
