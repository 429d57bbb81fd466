"""Which message is which."""

from dataclasses import replace
from uuid import UUID

import pytest

from auditor.receiver import read_split_result
from rowstream.errors import Poison
from rowstream.kafka.received import Received
from rowstream.messages import codec
from rowstream.messages.envelope import Envelope, new_traceparent
from rowstream.messages.upload_failed import UploadFailed
from rowstream.messages.upload_split import UploadSplit

UPLOAD, OWNER = UUID(int=1), UUID(int=2)
SPLIT = UploadSplit(upload_id=UPLOAD, organization_id=OWNER, attempt=1, chunks=2, records=20)
FAILED = UploadFailed(upload_id=UPLOAD, organization_id=OWNER, attempt=1, code="FMT_001", message="empty")


class NoSchemas:
    def find(self, fingerprint: bytes) -> None:
        del fingerprint


def received(message: UploadSplit | UploadFailed, type_: str) -> Received:
    envelope = Envelope.new(
        type_, source="tests", organization_id=OWNER, correlation_id="c", traceparent=new_traceparent()
    )
    return Received("t", 0, 0, None, codec.encode(message), envelope.headers())


@pytest.mark.parametrize(("message", "type_"), [(SPLIT, "upload_split"), (FAILED, "upload_failed")])
def test_the_header_says_which_it_is(message: UploadSplit | UploadFailed, type_: str) -> None:
    assert read_split_result(received(message, type_), NoSchemas()) == message


def test_another_type_does_not_belong_there() -> None:
    with pytest.raises(Poison, match=r"rowstream\.upload_accepted does not belong here"):
        read_split_result(received(SPLIT, "upload_accepted"), NoSchemas())


def test_a_header_that_is_missing_is_named() -> None:
    with pytest.raises(Poison, match="no header ce_type"):
        read_split_result(replace(received(SPLIT, "upload_split"), headers={}), NoSchemas())
