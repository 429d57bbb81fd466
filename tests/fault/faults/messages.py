"""Messages that come again, in another order, late, or that are not ours or no longer readable."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from rowstream.kafka.received import Received
from rowstream.kafka.topics import CHUNK_RESULTS, CHUNKS, SPLIT_RESULTS, TOPICS, UPLOADS
from rowstream.messages import codec
from rowstream.messages.record_chunk import RecordChunk
from tests.fault.scene import Scene
from tests.services import everything_in, publish

_LATE_SECONDS = 4.0
_ADMIN_SECONDS = 10.0
_READ_TOPICS = {
    UPLOADS: "UploadAccepted",
    CHUNKS: "RecordChunk",
    CHUNK_RESULTS: "ChunkResult",
    SPLIT_RESULTS: "UploadSplit",
}
_AFAR = 1_000
_LATE = f"""
CREATE FUNCTION commit_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_try_advisory_xact_lock(4711) THEN PERFORM pg_sleep({_LATE_SECONDS}); END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER commit_late AFTER INSERT ON outbox DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.topic = '{UPLOADS}') EXECUTE FUNCTION commit_late();
"""
_IN_TIME = "DROP TRIGGER commit_late ON outbox; DROP FUNCTION commit_late()"


@contextmanager
def full_replay(scene: Scene) -> Iterator[str]:
    """Every group forgets how far it had read, and reads every topic again from its beginning."""
    scene.begin_and_wait()
    services = scene.world.leave()
    groups = _forget_groups(scene)
    for service in services:
        scene.world.supervisor.start(service)
    yield f"{', '.join(groups)}, at {scene.plan.share:.0%} of the records"


def _forget_groups(scene: Scene) -> list[str]:
    admin = AdminClient({"bootstrap.servers": scene.world.kafka.address, "log_level": 2})
    groups = sorted(group.group_id for group in admin.list_consumer_groups().result(_ADMIN_SECONDS).valid)
    for group in groups:
        scene.until(partial(_is_forgotten, admin, group), f"the group {group} to be without members")
    return groups


def _is_forgotten(admin: AdminClient, group: str) -> bool:
    try:
        admin.delete_consumer_groups([group])[group].result(_ADMIN_SECONDS)
    except KafkaException as error:
        return str(error.args[0].name()) == "GROUP_ID_NOT_FOUND"  # else a member that was ended is still counted in
    return True


@contextmanager
def results_shuffled(scene: Scene) -> Iterator[str]:
    """All results come once more, twice each, in any order."""
    scene.begin_and_wait()
    ids = {upload.upload_id.encode() for upload in scene.uploads}
    broker = scene.world.kafka.address
    found = [one for topic in (CHUNK_RESULTS, SPLIT_RESULTS) for one in everything_in(broker, topic) if one.key in ids]
    again = found * 2
    random.Random(scene.plan.number).shuffle(again)
    publish(broker, *again)
    yield f"{len(again)} results again"


@contextmanager
def poison_avro(scene: Scene) -> Iterator[str]:
    """Messages on every topic whose bytes are not what their marker says, or say a schema that nobody knows."""
    scene.begin_and_wait()
    rng = random.Random(scene.plan.number)
    count = 0
    for topic, schema in _READ_TOPICS.items():
        known = codec.MARKER + codec.contract(schema).fingerprint
        bodies = [known, known + rng.randbytes(40), codec.MARKER + rng.randbytes(60), rng.randbytes(30), known[:5]]
        publish(scene.world.kafka.address, *(_message(topic, body, rng.randrange(4)) for body in bodies))
        count += len(bodies)
    yield f"{count} messages on {len(_READ_TOPICS)} topics"


@contextmanager
def poison_arrow(scene: Scene) -> Iterator[str]:
    """Chunks of these uploads and of none, readable as Avro, whose records are no Arrow stream, or another's."""
    scene.begin_and_wait()
    ids = {upload.upload_id.encode() for upload in scene.uploads}
    broker = scene.world.kafka.address
    mine = [one for one in everything_in(broker, CHUNKS) if one.key in ids]
    rng = random.Random(scene.plan.number)
    taken = rng.sample(mine, min(6, len(mine)))
    mangled = [_mangled(one, rng) for one in taken]
    publish(broker, *mangled)
    yield f"{len(mangled)} chunks"


def _mangled(message: Received, rng: random.Random) -> Received:
    """A chunk that is of no upload, or of a place that its lane has not reached: nothing of the truth may follow it."""
    chunk = codec.decode(message.value, RecordChunk)
    half = len(chunk.records) // 2
    records = rng.choice((b"", rng.randbytes(200), chunk.records[:half], chunk.records + b"\0" * 9))
    if rng.random() < 0.5:
        chunk = replace(chunk, records=records, upload_id=uuid4())
    else:
        chunk = replace(chunk, records=records, lane_seq=chunk.lane_seq + _AFAR)
    changed = {name: str(getattr(chunk, name)) for name in ("upload_id", "lane_seq")}
    return replace(message, value=codec.encode(chunk), headers={**message.headers, **changed})


@contextmanager
def not_ours(scene: Scene) -> Iterator[str]:
    """Messages of somebody else's on every topic: text, JSON, nothing, far too much, with odd headers or none."""
    scene.begin_and_wait()
    bodies = (b"", b"hello", b'{"upload_id": 7}', b"\0" * 900_000, b"a,b\n1,2\n")
    broker = scene.world.kafka.address
    for topic in TOPICS:
        publish(broker, *(_message(topic.name, body, 0, own=False) for body in bodies))
    yield f"{len(bodies)} messages on each of {len(TOPICS)} topics"


def _message(topic: str, body: bytes, partition: int, *, own: bool = True) -> Received:
    headers = {
        "ce_specversion": "1.0", "ce_id": str(uuid4()), "ce_type": "rowstream.something", "ce_source": "faults",
        "ce_time": "2026-01-01T00:00:00Z", "ce_organization": str(uuid4()), "correlation_id": "faults",
        "traceparent": "none",
    }  # fmt: skip
    return Received(topic, partition, 0, b"faults", body, headers if own else {"from": "somebody", "ce_type": ""})


@contextmanager
def outbox_late(scene: Scene) -> Iterator[str]:
    """The transaction that accepts an upload commits seconds after others that came later."""
    scene.world.execute(_LATE)
    try:
        scene.begin()
        scene.until(lambda: sum(upload.accepted for upload in scene.uploads) == len(scene.uploads) - 1, "the others")
        scene.struck()
        scene.until(scene.all_accepted, "the one that commits late")
    finally:
        scene.world.execute(_IN_TIME)
    yield f"an outbox row {_LATE_SECONDS:.0f} s late"


FAULTS = {
    "full-replay": full_replay,
    "results-shuffled": results_shuffled,
    "poison-avro": poison_avro,
    "poison-arrow": poison_arrow,
    "not-ours": not_ours,
    "outbox-late": outbox_late,
}
