"""Messages of Amazon SNS: whether it signed them, and what they say.

A message is believed only if it names a topic that a setting allows, and its signature is that of a certificate which
Amazon itself serves. Both addresses in a message (of the certificate, and of the confirmation of a subscription) are
fetched only from hosts that are Amazon's, so nobody makes the gateway call elsewhere.
Source: Amazon SNS Developer Guide, "Verifying the signatures of Amazon SNS messages".
"""

import base64
import binascii
import json
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from rowstream.errors import Poison, Retryable
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

# With a region, as us-gov-west-1: sns.s3.amazonaws.com is the bucket of whoever called one so.
_HOST = re.compile(r"sns\.[a-z]{2,8}(-[a-z]{2,20}){1,3}-[0-9]{1,2}\.amazonaws\.com(\.cn)?")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-fA-F]{8,64}\.pem")
_MOST_BYTES = 65_536
_FETCH_SECONDS = 5.0
_KEPT = 16
_KEPT_SECONDS = 24 * 3_600.0
_FETCHES_A_MINUTE = 10

Fetch = Callable[[str], bytes]
"""Gets what lies at an address of SNS; raises as `fetch` does."""


class NotOfSns(Poison):
    """The message is not one of a topic that is allowed, signed by SNS; says what is wrong."""


class Kind(StrEnum):
    """What SNS sends."""

    NOTIFICATION = "Notification"
    SUBSCRIPTION = "SubscriptionConfirmation"
    UNSUBSCRIPTION = "UnsubscribeConfirmation"


_Text = Annotated[str, StringConstraints(max_length=2_048)]


class SnsMessage(BaseModel):
    """A message of SNS, in its own words."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    type: Annotated[Kind, Field(alias="Type", strict=False)]
    message_id: _Text = Field(alias="MessageId")
    topic: _Text = Field(alias="TopicArn")
    subject: _Text | None = Field(None, alias="Subject")
    message: str = Field(alias="Message")
    timestamp: _Text = Field(alias="Timestamp")
    token: _Text | None = Field(None, alias="Token")
    subscribe_url: _Text | None = Field(None, alias="SubscribeURL")
    signature_version: _Text = Field(alias="SignatureVersion")
    signature: _Text = Field(alias="Signature")
    certificate_url: _Text = Field(alias="SigningCertURL")


def read(body: bytes) -> SnsMessage:
    """The message in a body, not yet to be believed.

    Raises:
        NotOfSns: it has not the form of one.
    """
    try:
        said = json.loads(body)
        return SnsMessage.model_validate(said)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:10])
        raise NotOfSns(f"the message is none of SNS: {'; '.join(faults)}") from None
    except (ValueError, RecursionError):
        raise NotOfSns("the message is none of SNS: it is not JSON") from None


def signed_text(message: SnsMessage) -> bytes:
    """What SNS signs of a message: names and values, each on a line of its own."""
    pairs: list[tuple[str, str | None]] = [("Message", message.message), ("MessageId", message.message_id)]
    if message.type is Kind.NOTIFICATION:
        pairs += [("Subject", message.subject), ("Timestamp", message.timestamp)]
    else:
        pairs += [("SubscribeURL", message.subscribe_url), ("Timestamp", message.timestamp), ("Token", message.token)]
    pairs += [("TopicArn", message.topic), ("Type", message.type.value)]
    return "".join(f"{name}\n{value}\n" for name, value in pairs if value is not None).encode()


def is_certificates_address(url: str) -> bool:
    """Whether SNS may have put a certificate there."""
    return _is_amazons(url) and _CERTIFICATE.fullmatch(urlsplit(url).path) is not None and not urlsplit(url).query


def is_confirmations_address(url: str, topic: str) -> bool:
    """Whether to get this address confirms a subscription to this topic, and does nothing else."""
    if not _is_amazons(url):
        return False
    asked = parse_qs(urlsplit(url).query, max_num_fields=10)
    is_of_topic = asked.get("Action") == ["ConfirmSubscription"] and asked.get("TopicArn") == [topic]
    return is_of_topic and urlsplit(url).path in {"", "/"}


def _is_amazons(url: str) -> bool:
    """Whether an address is one of SNS itself, by https, with nothing in it that clients read in more than one way."""
    if not url.isascii() or re.search(r"[\s\\@#]|[\x00-\x1f\x7f]", url):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.netloc.removesuffix(":443")
    return parts.scheme == "https" and port in {None, 443} and _HOST.fullmatch(host) is not None


def fetch(url: str) -> bytes:
    """What lies at an address of SNS; redirects are not followed, and no more than 64 kB are taken.

    Raises:
        NotOfSns: there is nothing.
        Retryable: it does not answer well.
    """
    body = bytearray()
    try:
        with httpx.stream("GET", url, timeout=_FETCH_SECONDS, follow_redirects=False) as answer:
            if httpx.codes.is_client_error(answer.status_code):
                raise NotOfSns(f"SNS has not what the message names: it answers {answer.status_code}")
            if answer.status_code != httpx.codes.OK:
                raise Retryable(f"SNS answers {answer.status_code}")
            for part in answer.iter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise Retryable("SNS answers with more than belongs there")
    except httpx.HTTPError as error:
        raise Retryable(f"SNS does not answer: {type(error).__name__}") from error
    return bytes(body)


class Certificates:
    """The certificates that SNS signs with, each fetched once a day; safe to use from several threads.

    Strangers may name as many addresses as they like: so few are fetched a minute, and few are kept.
    """

    def __init__(self, get: Fetch = fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._get, self._clock, self._lock = get, clock, threading.Lock()
        self._kept: OrderedDict[str, tuple[float, RSAPublicKey]] = OrderedDict()
        self._fetches: deque[float] = deque(maxlen=_FETCHES_A_MINUTE)

    def key_at(self, url: str) -> RSAPublicKey:
        """The key of the certificate at an address of SNS.

        Raises:
            NotOfSns: there is no certificate that is valid now.
            Retryable: SNS does not answer, or was asked too often.
        """
        with self._lock:
            kept = self._kept.get(url)
            if kept and self._clock() - kept[0] < _KEPT_SECONDS:
                return kept[1]
            self._take_turn()
        key = _key_in(self._get(url))
        with self._lock:
            self._kept[url] = (self._clock(), key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return key

    def _take_turn(self) -> None:
        now = self._clock()
        if len(self._fetches) == self._fetches.maxlen and now - self._fetches[0] < 60:  # noqa: PLR2004 - a minute
            raise Retryable("too many certificates of SNS are asked for")
        self._fetches.append(now)


def _key_in(pem: bytes) -> RSAPublicKey:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except (ValueError, TypeError) as error:
        raise NotOfSns("the certificate cannot be read") from error
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise NotOfSns("the certificate is not valid now")
    if not isinstance(key, RSAPublicKey):
        raise NotOfSns("the certificate's key is none of RSA")
    return key


class Sns:
    """Believes messages of the topics that are allowed.

    Args:
        topics: the ARNs of those topics.
        get: gets what lies at an address.
    """

    def __init__(self, topics: frozenset[str], get: Fetch = fetch) -> None:
        self._topics, self._get = topics, get
        self._certificates = Certificates(get)

    def check(self, message: SnsMessage) -> None:
        """Believe a message, or not.

        Raises:
            NotOfSns: it is not of an allowed topic, or its signature does not fit.
            Retryable: the certificate cannot be had now.
        """
        if message.topic not in self._topics:
            raise NotOfSns("the topic is none of those that ROWSTREAM_GATEWAY__SNS_TOPICS names")
        if not is_certificates_address(message.certificate_url):
            raise NotOfSns("SigningCertURL is no address of a certificate of SNS")
        # SHA-1 is what SNS signs with unless a topic's SignatureVersion is 2; nobody else's text is signed with it.
        methods: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 - see above
        method = methods.get(message.signature_version)
        if method is None:
            raise NotOfSns("SignatureVersion is neither 1 nor 2")
        try:
            signature = base64.b64decode(message.signature, validate=True)
            key = self._certificates.key_at(message.certificate_url)
            key.verify(signature, signed_text(message), padding.PKCS1v15(), method)
        except (binascii.Error, ValueError) as error:
            raise NotOfSns("the signature is not base64") from error
        except InvalidSignature as error:
            raise NotOfSns("the signature is not that of the message") from error

    def confirm(self, message: SnsMessage) -> None:
        """Confirm the subscription that a believed message asks about.

        Raises:
            NotOfSns: what it names does not confirm a subscription to its topic.
            Retryable: SNS does not answer.
        """
        url = message.subscribe_url or ""
        if not is_confirmations_address(url, message.topic):
            raise NotOfSns("SubscribeURL is no address of SNS that confirms a subscription to the topic")
        self._get(url)
        log.info("subscription confirmed", topic=message.topic)
