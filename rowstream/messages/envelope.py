"""What every message carries beside its body: CloudEvents headers, trace context, organization, correlation id.

Sources: CloudEvents 1.0 (binary mode of the Kafka protocol binding), W3C Trace Context.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from rowstream.errors import Poison
from rowstream.ids import new_id

CONTENT_TYPE = "application/avro"
_CORRELATION = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Who says what, on whose behalf, and as part of which request."""

    type: str
    source: str
    organization_id: UUID
    correlation_id: str
    traceparent: str
    id: str
    time: str

    @classmethod
    def new(
        cls, type_: str, *, source: str, organization_id: UUID, correlation_id: str, traceparent: str, id_: str = ""
    ) -> "Envelope":
        """An envelope for a message made now, a child span of `traceparent`; a stable `id_` can be deduplicated."""
        return cls(
            type=f"rowstream.{type_}",
            source=source,
            organization_id=organization_id,
            correlation_id=correlation_id,
            traceparent=child_span(traceparent),
            id=id_ or str(new_id()),
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    def next(self, type_: str, *, source: str, id_: str = "") -> "Envelope":
        """The envelope of a message that this one caused."""
        return self.new(
            type_,
            source=source,
            organization_id=self.organization_id,
            correlation_id=self.correlation_id,
            traceparent=self.traceparent,
            id_=id_,
        )

    def headers(self) -> dict[str, str]:
        """The message headers, by name."""
        return {
            "ce_specversion": "1.0",
            "ce_id": self.id,
            "ce_type": self.type,
            "ce_source": self.source,
            "ce_time": self.time,
            "ce_organization": str(self.organization_id),
            "content-type": CONTENT_TYPE,
            "traceparent": self.traceparent,
            "correlation_id": self.correlation_id,
        }

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> "Envelope":
        """The envelope in a message's headers.

        Raises:
            Poison: a header that every message of ours has is missing or malformed; names it.
        """
        try:
            return cls(
                type=headers["ce_type"],
                source=headers["ce_source"],
                organization_id=UUID(headers["ce_organization"]),
                correlation_id=headers["correlation_id"],
                traceparent=headers["traceparent"],
                id=headers["ce_id"],
                time=headers["ce_time"],
            )
        except KeyError as error:
            raise Poison(f"the message has no header {error.args[0]}") from error
        except ValueError as error:
            raise Poison("the header ce_organization is not a UUID") from error


def headers_as_text(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Kafka's header pairs as text by name; the last of a name wins, bytes that are not UTF-8 are replaced."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in headers}


def new_traceparent() -> str:
    """The start of a trace."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def child_span(traceparent: str) -> str:
    """The same trace with a new span id; a malformed one starts a new trace, as the specification asks."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return f"00-{match[1]}-{secrets.token_hex(8)}-{match[3]}" if match else new_traceparent()


def correlation_id_of(said: str | None) -> str:
    """The caller's correlation id if it is fit for logs and headers (128 plain characters at most), or a new one."""
    return said if said and _CORRELATION.fullmatch(said) else str(new_id())
