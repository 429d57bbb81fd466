"""Whether a message is one of SNS: its form, its addresses, its signature."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from ingest_gateway.sns import (
    Certificates,
    Kind,
    NotOfSns,
    Sns,
    is_certificates_address,
    is_confirmations_address,
    read,
    signed_text,
)
from rowstream.errors import Retryable
from tests.sns import CERTIFICATE_URL, TOPIC, Signer, certificate_of, notification, subscription


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer.new()


@pytest.fixture
def sns(signer: Signer) -> Sns:
    return Sns(frozenset({TOPIC}), signer.get)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("said", [notification("{}"), notification("{}", Subject="Amazon S3"), subscription()])
def test_what_sns_signed_is_believed(said: dict[str, Any], version: str, signer: Signer, sns: Sns) -> None:
    sns.check(read(signer.sign(said, version)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Message": "another"}, "not that of the message"),
        ({"Subject": "added"}, "not that of the message"),
        ({"Timestamp": "2026-01-01T00:00:01Z"}, "not that of the message"),
        ({"Type": "UnsubscribeConfirmation", "Token": "t", "SubscribeURL": "u"}, "not that of the message"),
        ({"TopicArn": "arn:aws:sns:eu-west-1:666666666666:theirs"}, "ROWSTREAM_GATEWAY__SNS_TOPICS"),
        ({"TopicArn": TOPIC + "x"}, "ROWSTREAM_GATEWAY__SNS_TOPICS"),
        ({"SigningCertURL": "https://attacker.example/SimpleNotificationService-00000000.pem"}, "SigningCertURL"),
        ({"SigningCertURL": "http://169.254.169.254/latest/meta-data"}, "SigningCertURL"),
        ({"Signature": "%"}, "not base64"),
        ({"Signature": ""}, "not that of the message"),
        ({"SignatureVersion": "2"}, "not that of the message"),
        ({"SignatureVersion": "none"}, "neither 1 nor 2"),
    ],
)
def test_what_was_changed_is_not_believed(change: dict[str, Any], reason: str, signer: Signer, sns: Sns) -> None:
    forged = json.loads(signer.sign(notification("{}"))) | change
    with pytest.raises(NotOfSns, match=reason):
        sns.check(read(json.dumps(forged).encode()))


def test_strangers_make_nobody_fetch_anything() -> None:
    def never(_: str) -> bytes:
        raise AssertionError("something was fetched")

    sns = Sns(frozenset({TOPIC}), never)
    signer = Signer.new()
    for change in (
        {"TopicArn": "arn:aws:sns:eu-west-1:666666666666:theirs"},
        {
            "SigningCertURL": "https://sns.eu-west-1.amazonaws.com@attacker.example/SimpleNotificationService-00000000.pem"
        },
        {"Signature": "%"},
    ):
        with pytest.raises(NotOfSns):
            sns.check(read(json.dumps(json.loads(signer.sign(notification("{}"))) | change).encode()))


def test_another_certificate_of_the_same_form_does_not_do(sns: Sns) -> None:
    with pytest.raises(NotOfSns, match="not that of the message"):
        sns.check(read(Signer.new().sign(notification("{}"))))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"Type": "Notification"}',
        json.dumps({**notification("{}"), "Signature": "x", "SigningCertURL": "x", "Type": "Other"}).encode(),
        json.dumps({**notification("{}"), "Signature": 7, "SigningCertURL": "x"}).encode(),
        json.dumps({**notification("{}"), "Signature": "x" * 3_000, "SigningCertURL": "x"}).encode(),
        json.dumps({**notification("{}"), "Signature": "x", "SigningCertURL": "x", "Message": {"a": 1}}).encode(),
    ],
    ids=lambda body: body[:20],
)
def test_what_has_not_the_form_is_told(body: bytes) -> None:
    with pytest.raises(NotOfSns, match="none of SNS"):
        read(body)


def test_the_signed_text_is_that_of_the_manual() -> None:
    message = read(json.dumps({**notification("m", Subject="s"), "Signature": "", "SigningCertURL": ""}).encode())
    assert message.type is Kind.NOTIFICATION
    assert signed_text(message) == (
        b"Message\nm\nMessageId\n22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324\nSubject\ns\n"
        b"Timestamp\n2026-01-01T00:00:00.000Z\nTopicArn\narn:aws:sns:eu-west-1:123456789012:objects\nType\nNotification\n"
    )


HOST = "https://sns.eu-west-1.amazonaws.com"
PEM = "/SimpleNotificationService-01d088a6f77103d0fe307c0069e40ed6.pem"


@pytest.mark.parametrize(
    ("url", "good"),
    [
        (HOST + PEM, True),
        (HOST + ":443" + PEM, True),
        ("https://sns.cn-north-1.amazonaws.com.cn" + PEM, True),
        ("http://sns.eu-west-1.amazonaws.com" + PEM, False),
        ("https://sns.eu-west-1.amazonaws.com.attacker.example" + PEM, False),
        ("https://attacker.example/sns.eu-west-1.amazonaws.com" + PEM, False),
        ("https://sns.eu-west-1.amazonaws.com@attacker.example" + PEM, False),
        ("https://user@sns.eu-west-1.amazonaws.com" + PEM, False),
        ("https://sns.eu-west-1.amazonaws.com:8443" + PEM, False),
        ("https://sns.eu-west-1.amazonaws.com:0443x" + PEM, False),
        ("https://snsXeu-west-1.amazonaws.com" + PEM, False),
        ("https://sns.a.b.amazonaws.com" + PEM, False),
        ("https://sns..amazonaws.com" + PEM, False),
        ("https://s3.eu-west-1.amazonaws.com" + PEM, False),
        ("https://sns.us-gov-west-1.amazonaws.com" + PEM, True),
        ("https://sns.s3.amazonaws.com" + PEM, False),
        ("https://sns.s3-eu-west-1.amazonaws.com" + PEM, False),
        ("https://sns.s3-website-eu-west-1.amazonaws.com" + PEM, False),
        ("https://sns.s3-accelerate.amazonaws.com" + PEM, False),
        ("https://sns.eu-west-1.amazonaws.com\\@attacker.example" + PEM, False),
        ("https://sns.eu-west-1.amazonaws.com\n.attacker.example" + PEM, False),
        ("https://\u017fns.eu-west-1.amazonaws.com" + PEM, False),
        (HOST + PEM + "#x", False),
        (HOST + PEM + "?x", False),
        (HOST + "/bucket" + PEM, False),
        (HOST + "/x.pem", False),
        ("https://[::1" + PEM, False),
        ("", False),
    ],
)
def test_certificates_lie_at_amazons_own_hosts(url: str, *, good: bool) -> None:
    assert is_certificates_address(url) is good


@pytest.mark.parametrize(
    ("url", "good"),
    [
        (f"{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc", True),
        (f"{HOST}/?Action=ConfirmSubscription&TopicArn=another&Token=abc", False),
        (f"{HOST}/?Action=DeleteTopic&TopicArn={TOPIC}", False),
        (f"{HOST}/?Action=ConfirmSubscription&Action=DeleteTopic&TopicArn={TOPIC}", False),
        (f"https://attacker.example/?Action=ConfirmSubscription&TopicArn={TOPIC}", False),
        (f"http://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}", False),
        (f"{HOST}/other?Action=ConfirmSubscription&TopicArn={TOPIC}", False),
        ("", False),
    ],
)
def test_subscriptions_are_confirmed_at_amazons_own_hosts(url: str, *, good: bool) -> None:
    assert is_confirmations_address(url, TOPIC) is good


def test_a_subscription_is_confirmed_at_its_address(signer: Signer, sns: Sns) -> None:
    message = read(signer.sign(subscription()))
    sns.check(message)
    sns.confirm(message)
    assert signer.fetched[-1] == message.subscribe_url


def test_a_subscription_elsewhere_is_not_confirmed(signer: Signer, sns: Sns) -> None:
    message = read(signer.sign(subscription(SubscribeURL="http://169.254.169.254/?Action=ConfirmSubscription")))
    before = list(signer.fetched)
    with pytest.raises(NotOfSns, match="SubscribeURL"):
        sns.confirm(message)
    assert signer.fetched == before


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (b"", "cannot be read"),
        (b"<html>", "cannot be read"),
        (certificate_of(rsa.generate_private_key(65_537, 2_048), days=-1), "not valid now"),
        (certificate_of(ec.generate_private_key(ec.SECP256R1())), "none of RSA"),
    ],
    ids=["empty", "a page", "expired", "another kind of key"],
)
def test_a_certificate_that_is_none_is_not_believed(pem: bytes, reason: str) -> None:
    with pytest.raises(NotOfSns, match=reason):
        Certificates(lambda _: pem).key_at(CERTIFICATE_URL)


def test_a_certificate_is_fetched_once_a_day() -> None:
    signer, clock = Signer.new(), Clock()
    certificates = Certificates(signer.get, clock)
    for seconds in (0.0, 10.0, 86_399.0):
        clock.now = seconds
        certificates.key_at(CERTIFICATE_URL)
    assert signer.fetched == [CERTIFICATE_URL]
    clock.now = 86_400.0
    certificates.key_at(CERTIFICATE_URL)
    assert signer.fetched == [CERTIFICATE_URL] * 2


def test_many_addresses_are_not_all_fetched_and_those_known_go_on() -> None:
    signer, clock = Signer.new(), Clock()
    certificates = Certificates(signer.get, clock)
    certificates.key_at(CERTIFICATE_URL)
    others = [f"{HOST}/SimpleNotificationService-{number:08x}.pem" for number in range(10)]
    for url in others[:9]:
        certificates.key_at(url)
    with pytest.raises(Retryable, match="too many"):
        certificates.key_at(others[9])
    assert len(signer.fetched) == 10
    certificates.key_at(CERTIFICATE_URL)
    clock.now = 61.0
    certificates.key_at(others[9])


def test_a_signature_by_the_other_method_does_not_do(signer: Signer, sns: Sns) -> None:
    said = notification("{}") | {"SigningCertURL": CERTIFICATE_URL, "SignatureVersion": "1", "Signature": ""}
    text = signed_text(read(json.dumps(said).encode()))
    said["Signature"] = base64.b64encode(signer.key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()
    with pytest.raises(NotOfSns):
        sns.check(read(json.dumps(said).encode()))
