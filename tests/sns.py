"""Messages as Amazon SNS makes them, signed with a certificate of the tests."""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from ingest_gateway.sns import read, signed_text

TOPIC = "arn:aws:sns:eu-west-1:123456789012:objects"
HOST = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE_URL = f"{HOST}/SimpleNotificationService-01d088a6f77103d0fe307c0069e40ed6.pem"


def notification(message: str, **more: str) -> dict[str, Any]:
    """A notification, not signed yet."""
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": "2026-01-01T00:00:00.000Z",
        "SignatureVersion": "1",
        "UnsubscribeURL": f"{HOST}/?Action=Unsubscribe",
        **more,
    }


def subscription(**more: str) -> dict[str, Any]:
    """What SNS sends first to somebody who is to be subscribed, not signed yet."""
    url = f"{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc"
    return {
        **notification("You have chosen to subscribe to the topic."),
        "Type": "SubscriptionConfirmation",
        "Token": "abc",
        "SubscribeURL": url,
        **more,
    }


def certificate_of(key: Any, *, days: int = 1) -> bytes:
    """A certificate (PEM) of this key for the service's name, which ends in so many days."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
    )
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@dataclass
class Signer:
    """Signs as SNS does; `get` serves its certificate, and answers at every other address of SNS."""

    key: rsa.RSAPrivateKey
    certificate: bytes
    fetched: list[str] = field(default_factory=list)

    @classmethod
    def new(cls) -> "Signer":
        """One with a new key."""
        key = rsa.generate_private_key(65_537, 2_048)
        return cls(key, certificate_of(key))

    def get(self, url: str) -> bytes:
        """What lies at an address."""
        self.fetched.append(url)
        return self.certificate

    def sign(self, said: dict[str, Any], version: str = "1") -> bytes:
        """The message as it is sent."""
        method = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 - as SNS signs
        said = {**said, "SignatureVersion": version, "SigningCertURL": CERTIFICATE_URL, "Signature": ""}
        text = signed_text(read(json.dumps(said).encode()))
        said["Signature"] = base64.b64encode(self.key.sign(text, padding.PKCS1v15(), method)).decode()
        return json.dumps(said).encode()
