"""What becomes of stored objects with time, by their prefix; and which pages may send files to the bucket.

A store that keeps lifecycle rules does all of it by itself once they are put there (`rowstream storage apply`). Where
it does not, the gateway removes old exports itself (`remove_old`). Nothing here ever removes an original: it goes to
the archive, from where a person can have it restored, and on a store without rules it stays where it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from rowstream.storage.s3_errors import named_errors
from rowstream.storage.store import StoreUnavailable

RAW_UPLOADS, PROCESSED, ERRORS = "raw-uploads/", "processed/", "errors/"
ERRORS_DAYS = 30
ARCHIVE_CLASS = "GLACIER"

_OURS = "rowstream-"
_UNKNOWN = {"NotImplemented", "MethodNotAllowed", "UnsupportedOperation", "XNotImplemented", "501", "405"}
_NONE_YET = {"NoSuchLifecycleConfiguration", "NoSuchCORSConfiguration"}
_METHODS = ("GET", "HEAD", "PUT", "POST")


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of the objects under a prefix, so many days after they were stored; None: nothing of that kind."""

    prefix: str
    archive_days: int | None = None
    remove_days: int | None = None

    @property
    def name(self) -> str:
        """The rule's id in the store."""
        return _OURS + self.prefix.rstrip("/")


RULES = (
    Rule(RAW_UPLOADS, archive_days=90),
    Rule(PROCESSED, archive_days=1),
    Rule(ERRORS, remove_days=ERRORS_DAYS),
)
PARTS_RULE = f"{_OURS}unfinished-parts"
PARTS_DAYS = 7


class Outcome(StrEnum):
    """What a store made of a configuration."""

    AS_WANTED = "as wanted"
    DIFFERS = "differs"
    NOT_KEPT = "not kept by this store"


def documents(rules: Sequence[Rule] = RULES, archive_class: str = ARCHIVE_CLASS) -> list[dict[str, Any]]:
    """The rules as S3 wants them, with the one that drops parts that nobody put together."""
    made = []
    for rule in rules:
        document: dict[str, Any] = {"ID": rule.name, "Status": "Enabled", "Filter": {"Prefix": rule.prefix}}
        if rule.archive_days is not None:
            document["Transitions"] = [{"Days": rule.archive_days, "StorageClass": archive_class}]
        if rule.remove_days is not None:
            document["Expiration"] = {"Days": rule.remove_days}
        made.append(document)
    parts = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": PARTS_DAYS}}
    return [*made, {"ID": PARTS_RULE, "Status": "Enabled", "Filter": {"Prefix": ""}, **parts}]


def merged(there: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The wanted rules, and those of the bucket that are not ours and stay as they are."""
    return [*(rule for rule in there if not str(rule.get("ID", "")).startswith(_OURS)), *wanted]


def has_all(there: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> bool:
    """Whether each of the wanted rules is there, whatever else is."""
    return all(any(_same(one, rule) for one in there) for rule in wanted)


def _same(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a rule says the same; stores add to what they were given, and leave out an empty prefix."""
    filled = {**there, "Filter": {"Prefix": "", **there.get("Filter", {})}}
    return all(filled.get(name) == value for name, value in wanted.items())


class Lifecycle:
    """The calls about a bucket's rules; safe to use from several threads."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def rules(self, bucket: str) -> list[dict[str, Any]] | None:
        """The lifecycle rules of the bucket; None where the store keeps none.

        Raises:
            ObjectMissing: there is no such bucket.
            StoreUnavailable: the store does not answer, or does not let us look.
        """
        answer = self._ask(bucket, "get_bucket_lifecycle_configuration")
        return None if answer is None else list(answer.get("Rules", ()))

    def state(self, bucket: str, archive_class: str = ARCHIVE_CLASS) -> Outcome:
        """Whether the bucket has our rules; raises as `rules` does."""
        there = self.rules(bucket)
        if there is None:
            return Outcome.NOT_KEPT
        return Outcome.AS_WANTED if has_all(there, documents(archive_class=archive_class)) else Outcome.DIFFERS

    def apply(self, bucket: str, archive_class: str = ARCHIVE_CLASS) -> Outcome:
        """Put our rules beside those of others; raises as `rules` does."""
        there = self.rules(bucket)
        if there is None:
            return Outcome.NOT_KEPT
        rules = merged(there, documents(archive_class=archive_class))
        put = self._ask(bucket, "put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": rules})
        return Outcome.NOT_KEPT if put is None else self.state(bucket, archive_class)

    def origins(self, bucket: str) -> frozenset[str] | None:
        """The origins whose pages may send files to the bucket; None where the store keeps none. Raises as `rules`."""
        answer = self._ask(bucket, "get_bucket_cors")
        if answer is None:
            return None
        return frozenset(origin for rule in answer.get("CORSRules", ()) for origin in rule["AllowedOrigins"])

    def allow_origins(self, bucket: str, origins: Sequence[str]) -> Outcome:
        """Let pages of these origins send files, and of no others; raises as `rules` does."""
        rule = {
            "ID": f"{_OURS}pages",
            "AllowedOrigins": list(origins),
            "AllowedMethods": list(_METHODS),
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 600,
        }
        put = self._ask(bucket, "put_bucket_cors", CORSConfiguration={"CORSRules": [rule]})
        if put is None:
            return Outcome.NOT_KEPT
        return Outcome.AS_WANTED if self.origins(bucket) == frozenset(origins) else Outcome.DIFFERS

    def remove_old(self, bucket: str, prefix: str, *, before: datetime) -> int:
        """Remove the objects under a prefix that were stored before; returns how many.

        Raises:
            ValueError: the prefix may hold originals.
            ObjectMissing, StoreUnavailable: as `rules`.
        """
        if prefix != ERRORS:
            raise ValueError(f"objects under {prefix!r} are not removed by age")
        removed = 0
        with named_errors(bucket, prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    if found["LastModified"] < before:
                        self._client.delete_object(Bucket=bucket, Key=found["Key"])
                        removed += 1
        return removed

    def _ask(self, bucket: str, call: str, **arguments: object) -> dict[str, Any] | None:
        """The answer of a call about the bucket's configuration; {} for none yet, None for a store that has no such."""
        try:
            with named_errors(bucket, ""):
                answer: dict[str, Any] = getattr(self._client, call)(Bucket=bucket, **arguments)
        except StoreUnavailable as error:
            cause = error.__cause__
            code = str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, ClientError) else ""
            if code in _NONE_YET:
                return {}
            if code in _UNKNOWN:
                return None
            raise
        return answer
