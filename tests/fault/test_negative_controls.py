"""With a guarantee taken out of a service, the suite goes red; with the same fault and the guarantee, it stays green.

Some guarantees have a second one behind them, that alone would make up for the first; it is then kept from doing so by
settings, in both halves, and the green half says that this is not what makes the other one red.
"""

import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.fault.faults import FAULTS, Fault
from tests.fault.plan import AUDITOR, GATEWAY, PROCESSOR, SPLITTER, Plan, plan_of
from tests.fault.run import Outcome, strike
from tests.fault.scene import Scene
from tests.fault.start import world
from tests.fault.world import World

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1_200)]

_BROKEN = Path(__file__).parent / "broken"
_NEVER = "3600"
_LONGEST = 240.0
_SURELY_SECONDS, _SURELY_TIMES = 20.0, 3.0


@dataclass(frozen=True)
class Control:
    """A guarantee: how a service is broken, which fault then harms, and how the suite says so.

    Attributes:
        service: The one that is broken.
        patch: Breaks it.
        fault: Strikes.
        where: Of the fault's kind.
        red: What the suite must find.
        settings: By service: what keeps another guarantee from making up for this one.
        patch_of_green: Run in the service where it is not broken.
        statement: Breaks the database.
        mend: Mends it, once it is empty.
    """

    service: str
    patch: str
    fault: Fault
    where: str
    red: str
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    patch_of_green: str = ""
    statement: str = ""
    mend: str = ""


@contextmanager
def gateway_dies_with_what_it_has_not_delivered(scene: Scene) -> Iterator[str]:
    """The gateway cannot reach the broker, takes uploads in, and dies."""
    lines = scene.world.lines_to("kafka", GATEWAY)
    for line in lines:
        line.hold()
    scene.begin()
    scene.until(scene.all_accepted, "the uploads to be accepted")
    time.sleep(2.0)  # for the relay to publish, as far as it can
    scene.struck()
    for service in scene.world.of(GATEWAY):
        service.send(signal.SIGKILL)
    for line in lines:
        line.drop()
        line.restore()
    yield "undelivered"


@contextmanager
def nothing_more(scene: Scene) -> Iterator[str]:
    """No fault beside what the patch brings."""
    scene.begin_and_wait()
    yield "an error in folding"


CONTROLS = {
    "the-database-commits-before-the-offset": Control(
        service=PROCESSOR,
        patch="offset_first",
        fault=FAULTS["kill-processor"],
        where="record_processor/rows_copied",
        red="I4: not ended",
        settings={SPLITTER: {"ROWSTREAM_SPLITTER__STALL_SECONDS": _NEVER}},
    ),
    "the-ledger-has-a-key": Control(
        service=PROCESSOR,
        patch="no_ledger_key",
        fault=FAULTS["kill-processor"],
        where="record_processor/chunks_committed",
        red="I[123] upload",
        # The key of the rejections is the guarantee behind: a chunk worked twice would stop at it.
        statement="ALTER TABLE processed_chunks DROP CONSTRAINT processed_chunks_pkey;"
        " ALTER TABLE batch_upload_errors DROP CONSTRAINT batch_upload_errors_pkey",
        mend="ALTER TABLE processed_chunks ADD PRIMARY KEY (batch_upload_id, chunk_number);"
        " ALTER TABLE batch_upload_errors ADD PRIMARY KEY (batch_upload_id, row_number)",
    ),
    "results-are-acknowledged-once-folded": Control(
        service=AUDITOR,
        patch="fausts_take",
        fault=nothing_more,
        where="",
        red="I4: not ended",
        settings={AUDITOR: {"ROWSTREAM_AUDITOR__RECONCILE_SECONDS": _NEVER}},
        patch_of_green="fold_fails_once",
    ),
    "the-outbox-is-marked-once-delivered": Control(
        service=GATEWAY,
        patch="outbox_marked_early",
        fault=gateway_dies_with_what_it_has_not_delivered,
        where="",
        red="I4: not ended",
        settings={AUDITOR: {"ROWSTREAM_AUDITOR__UNCLAIMED_SECONDS": _NEVER}},
    ),
    "an-object-is-the-one-confirmed": Control(
        service=SPLITTER,
        patch="no_etag_check",
        fault=FAULTS["object-overwritten"],
        where="same-size",
        red="not as in the file|not as planted|ended failed",
    ),
}


@pytest.fixture(scope="module")
def system() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.mark.parametrize("name", CONTROLS)
def test_the_suite_sees_that(name: str, system: World) -> None:
    control = CONTROLS[name]
    place = list(CONTROLS).index(name)
    plan = replace(plan_of(90_000 + place), where=control.where, nth=2)

    green = _struck(system, control, plan, patch=control.patch_of_green, longest=_LONGEST)
    assert not green.violations, green

    if control.statement:
        system.execute(control.statement)
    # So long that it is the patch, and not a slow machine, that keeps an upload from ending.
    longest = max(_SURELY_SECONDS, _SURELY_TIMES * green.recovery.ended)
    try:
        red = _struck(system, control, replace(plan, number=plan.number + 1), patch=control.patch, longest=longest)
    finally:
        system.start_anew()
        if control.mend:
            system.execute(control.mend)
    assert any(re.search(control.red, violation) for violation in red.violations), red


def _struck(system: World, control: Control, plan: Plan, *, patch: str, longest: float) -> Outcome:
    extra = {service: dict(settings) for service, settings in control.settings.items()}
    if patch:
        extra.setdefault(control.service, {})["FAULT_PATCH"] = str(_BROKEN / f"{patch}.py")
    system.start_anew(extra)
    outcome = strike(system, plan, control.fault, longest=longest)
    assert outcome.struck, outcome
    return replace(outcome, violations=(*outcome.recovery.violations(longest), *outcome.violations))
