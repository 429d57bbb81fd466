"""What may be asked of an upload in which state: the whole table."""

import pytest

from ingest_gateway.control import NotNow, Order, Standing, Verb, decide

RUN, PAUSE, CANCEL = Order(requested="run"), Order(requested="pause"), Order(requested="cancel")
UNDO = Order(requested="cancel", undo=True)
RETRY = Order(requested="run", retry=True)
NO_MORE = Order(requested="cancel", retry=True)


@pytest.mark.parametrize(
    ("verb", "standing", "order"),
    [
        (Verb.PAUSE, Standing(status="pending"), PAUSE),
        (Verb.PAUSE, Standing(status="processing"), PAUSE),
        (Verb.PAUSE, Standing(status="processing", requested="pause"), None),
        (Verb.PAUSE, Standing(status="paused", requested="pause"), None),
        (Verb.PAUSE, Standing(status="paused", requested="run"), PAUSE),
        (Verb.RESUME, Standing(status="paused", requested="pause"), RUN),
        (Verb.RESUME, Standing(status="processing", requested="pause"), RUN),
        (Verb.RESUME, Standing(status="paused", requested="run"), None),
        (Verb.RESUME, Standing(status="processing"), None),
        (Verb.CANCEL, Standing(status="pending"), CANCEL),
        (Verb.CANCEL, Standing(status="paused", requested="pause"), CANCEL),
        (Verb.CANCEL, Standing(status="needs_review"), CANCEL),
        (Verb.CANCEL, Standing(status="processing", requested="cancel"), None),
        (Verb.CANCEL, Standing(status="cancelled", requested="cancel"), None),
        (Verb.CANCEL, Standing(status="cancelled", requested="cancel", undo=True), None),
        (Verb.CANCEL, Standing(status="failed"), NO_MORE),
        (Verb.CANCEL, Standing(status="failed", accepted=False), None),
        (Verb.CANCEL, Standing(status="failed", attempt=2, requested="cancel"), NO_MORE),
        (Verb.RETRY, Standing(status="failed"), RETRY),
        (Verb.RETRY, Standing(status="failed", attempt=3), RETRY),
        (Verb.RETRY, Standing(status="failed", requested="pause"), RETRY),
        (Verb.RETRY, Standing(status="pending", attempt=2), None),
        (Verb.RETRY, Standing(status="paused", attempt=2, requested="pause"), None),
        (Verb.RETRY, Standing(status="completed", attempt=2), None),
    ],
)
def test_what_is_noted(verb: Verb, standing: Standing, order: Order | None) -> None:
    assert decide(verb, standing) == order


@pytest.mark.parametrize(
    ("standing", "order"),
    [
        (Standing(status="processing"), UNDO),
        (Standing(status="processing", requested="cancel"), UNDO),
        (Standing(status="cancelled", requested="cancel"), UNDO),
        (Standing(status="cancelled", requested="cancel", undo=True), None),
        (Standing(status="processing", requested="cancel", undo=True), None),
        (Standing(status="failed"), Order(requested="cancel", undo=True, retry=True)),
        (Standing(status="failed", requested="cancel", undo=True), Order(requested="cancel", undo=True, retry=True)),
    ],
)
def test_to_undo_may_be_asked_with_the_cancellation_and_after_it(standing: Standing, order: Order | None) -> None:
    assert decide(Verb.CANCEL, standing, undo=True) == order


@pytest.mark.parametrize(
    ("verb", "standing", "why"),
    [
        *((verb, Standing(status="awaiting_upload"), "not confirmed") for verb in (Verb.PAUSE, Verb.RESUME)),
        (Verb.CANCEL, Standing(status="awaiting_upload", accepted=False), "given up by itself"),
        (Verb.RETRY, Standing(status="awaiting_upload", accepted=False), "only a failed upload is retried"),
        (Verb.PAUSE, Standing(status="completed"), "it is completed"),
        (Verb.PAUSE, Standing(status="needs_review"), "it is needs review"),
        (Verb.PAUSE, Standing(status="failed"), "it is failed"),
        (Verb.RESUME, Standing(status="cancelled", requested="cancel"), "it is cancelled"),
        (Verb.PAUSE, Standing(status="processing", requested="cancel"), "being cancelled"),
        (Verb.RESUME, Standing(status="paused", requested="cancel"), "being cancelled"),
        (Verb.CANCEL, Standing(status="completed"), "it is completed"),
        (Verb.RETRY, Standing(status="processing"), "it is processing"),
        (Verb.RETRY, Standing(status="processing", attempt=2, requested="cancel"), "only a failed upload"),
        (Verb.RETRY, Standing(status="cancelled", requested="cancel"), "cancelled, which is final"),
        (Verb.RETRY, Standing(status="failed", accepted=False), "never accepted"),
    ],
)
def test_what_the_state_does_not_allow(verb: Verb, standing: Standing, why: str) -> None:
    with pytest.raises(NotNow, match=why) as refused:
        decide(verb, standing)
    assert refused.value.standing == standing
