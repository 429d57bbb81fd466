"""What must be so once a fault has healed, seen from the outside: the promise, and the truth about every record."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import httpx

from rowstream.database.invariants import check as violations_in
from tests.fault.workload import RECORD_TYPE, ROOT, STORED, Handed, Row
from tests.fault.world import World

MOVES_WITHIN = 60.0
ENDS_WITHIN = 60.0
MOST_MEMORY_MB = 450.0
ENDED = ("completed", "failed", "cancelled", "needs_review")
_ANSWER_SECONDS = 30.0
_LOOK_SECONDS = 0.2
_EXAMPLES = 3


@dataclass(frozen=True)
class Recovery:
    """How long after the healing anything moved, and everything had ended, in seconds; and what never ended."""

    moved: float = 0.0
    ended: float = 0.0
    still_open: tuple[str, ...] = ()

    def violations(self, fault_free: float) -> list[str]:
        """What I4 says about it, where the same files take `fault_free` seconds without a fault; pure."""
        limit = ENDS_WITHIN + fault_free
        if self.still_open:
            return [f"I4: not ended {self.ended:.0f} s after the healing: {', '.join(self.still_open)}"]
        found = []
        if self.moved > MOVES_WITHIN:
            found.append(f"I4: nothing moved for {self.moved:.0f} s after the healing")
        if self.ended > limit:
            found.append(f"I4: ended {self.ended:.0f} s after the healing, {limit:.0f} s are allowed")
        return found


def wait_until_ended(world: World, uploads: Sequence[Handed], *, longest: float) -> Recovery:
    """Wait for the end of all uploads, `longest` seconds at the most."""
    healed = time.monotonic()
    moved: float | None = None
    before = _progress(world, uploads)
    while True:
        now = _progress(world, uploads)
        seconds = time.monotonic() - healed
        still_open = tuple(f"{upload} {status}" for upload, status, _ in now if status not in ENDED)
        ended = len(now) == len(uploads) and not still_open
        if moved is None and (ended or now != before):
            moved = seconds
        if ended or seconds > longest:
            return Recovery(seconds if moved is None else moved, seconds, still_open)
        time.sleep(_LOOK_SECONDS)


def _progress(world: World, uploads: Sequence[Handed]) -> list[tuple[str, str, int]]:
    ids = [upload.upload_id for upload in uploads if upload.upload_id]
    found = world.query(
        "SELECT id::text, status, (SELECT count(*) FROM processed_chunks WHERE batch_upload_id = id) AS chunks"
        " FROM batch_uploads WHERE id = ANY (%s::uuid[]) ORDER BY id",
        ids,
    )
    return [(row.id, row.status, row.chunks) for row in found]


def violations(world: World, uploads: Sequence[Handed]) -> list[str]:
    """Everything that is not as promised, once all uploads have ended."""
    found = [str(violation) for violation in violations_in(world.database)]
    for upload in uploads:
        found += [f"upload {upload.upload_id}: {what}" for what in _of_upload(world, upload)]
    found += _memory(world)
    return found


def _of_upload(world: World, upload: Handed) -> Iterator[str]:
    if not upload.accepted:
        yield f"was never accepted ({upload.failure})"
        return
    status, answer = _asked(world, upload)
    if status != 200:
        yield f"I5: was accepted, and now the API answers {status}"
        return
    if answer["status"] not in upload.may_end:
        yield f"ended {answer['status']} ({answer['failure_code']}: {answer['failure_message']})"
    yield from _records_differ(world, upload, whole=answer["status"] == "completed")
    yield from _seen_by_others(world, upload)


def _asked(world: World, upload: Handed) -> tuple[int, dict[str, str]]:
    """What its organization is told about it; a gateway that was just healed has some seconds to answer."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            answer = _get(world, upload.key, f"{ROOT}/{upload.upload_id}")
        except httpx.TransportError:
            if time.monotonic() > deadline:
                return 0, {}
        else:
            if answer.status_code < 500 or time.monotonic() > deadline:
                return answer.status_code, answer.json()
        time.sleep(_LOOK_SECONDS)


def _get(world: World, key: str, path: str) -> httpx.Response:
    return httpx.get(world.gateway + path, headers={"Authorization": f"Bearer {key}"}, timeout=10, trust_env=False)


def _records_differ(world: World, upload: Handed, *, whole: bool) -> Iterator[str]:
    loaded, rejected = _loaded(world, upload), _rejected(world, upload)
    good, bad = upload.sample.good, upload.sample.bad
    wrong = [number for number, row in loaded.items() if good.get(number) != row]
    if wrong:
        yield f"{len(wrong)} rows are not as in the file, such as {wrong[:_EXAMPLES]}"
    wrong = [number for number, codes in rejected.items() if bad.get(number) != codes]
    if wrong:
        examples = [(number, rejected[number], bad.get(number)) for number in wrong[:_EXAMPLES]]
        yield f"{len(wrong)} rejections are not as planted: {examples}"
    if whole and (missing := sorted(good.keys() - loaded.keys())):
        yield f"{len(missing)} good rows are not loaded, such as {missing[:_EXAMPLES]}"
    if whole and (missing := sorted(bad.keys() - rejected.keys())):
        yield f"{len(missing)} bad rows are not rejected, such as {missing[:_EXAMPLES]}"


def _loaded(world: World, upload: Handed) -> dict[int, Row]:
    columns = ", ".join(f'"{name}"::text' for name in STORED)
    rows = world.query(
        f'SELECT row_number, {columns} FROM "{RECORD_TYPE.table}" WHERE batch_upload_id = %s',  # noqa: S608 - declared
        upload.upload_id,
    )
    return {row[0]: tuple(row[1:]) for row in rows}


def _rejected(world: World, upload: Handed) -> dict[int, list[str]]:
    rows = world.query(
        "SELECT row_number, error_code, errors FROM batch_upload_errors WHERE batch_upload_id = %s", upload.upload_id
    )
    return {row.row_number: [error["code"] for error in row.errors] or [row.error_code] for row in rows}


def _seen_by_others(world: World, upload: Handed) -> Iterator[str]:
    for key in world.keys:
        if key == upload.key:
            continue
        for path in ("", "/errors"):
            answer = _get(world, key, f"{ROOT}/{upload.upload_id}{path}")
            if answer.status_code != 404:
                yield f"I6: another organization is answered {answer.status_code} at {path or 'its own address'}"
        if upload.upload_id in _get(world, key, f"{ROOT}?limit=100").text:
            yield "I6: another organization finds it in its list"


def _memory(world: World) -> Iterator[str]:
    for service in world.services.values():
        used = service.memory_mb()
        if used > MOST_MEMORY_MB:
            yield f"I7: {service.name} holds {used:.0f} MB"
