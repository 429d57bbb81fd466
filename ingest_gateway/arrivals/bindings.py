"""Which sources of requests by Kafka hand in for which organization, as the setting `intake_sources` says. Pure.

A broker does not tell a reader who wrote a message: whoever may write to the topic may claim to be any source. So the
setting bounds what sources may do, and the broker's own rules (ACLs) who may write.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.errors import Fatal

_ALL_FOR_THE_DEFAULT = (("*", str(DEFAULT_ORGANIZATION)),)


@dataclass(frozen=True, slots=True)
class Bindings:
    """Patterns of sources, each with an organization by its name or id."""

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, said: str) -> "Bindings":
        """What a setting says: `pattern=organization, ...`; nothing binds every source to the default organization.

        Raises:
            Fatal: it says something else.
        """
        pairs = []
        for part in filter(None, map(str.strip, said.split(","))):
            pattern, _, organization = (one.strip() for one in part.rpartition("="))
            if not pattern or not organization:
                wrong = f"{part[:100]!r} is not pattern=organization, such as //crm/*=acme"
                raise Fatal(f"ROWSTREAM_GATEWAY__INTAKE_SOURCES: {wrong}")
            pairs.append((pattern, organization))
        return cls(tuple(pairs) or _ALL_FOR_THE_DEFAULT)

    @property
    def serve_several(self) -> bool:
        """Whether more than one organization is handed in for, as far as they are called differently."""
        return len({called for _, called in self.pairs}) > 1

    def of(self, source: str) -> tuple[str, ...]:
        """The organizations that a source may hand in for, in the setting's order."""
        return tuple(dict.fromkeys(called for pattern, called in self.pairs if fnmatchcase(source, pattern)))
