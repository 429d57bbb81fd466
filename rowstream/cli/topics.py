"""The command `topics`: what the broker has, beside what the system wants."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rowstream.cli.client import NoSystem
from rowstream.cli.options import DEFAULT_STATE_DIR, JsonOption, StateDirOption
from rowstream.cli.output import answer_json, answer_table, note
from rowstream.errors import Retryable
from rowstream.stack.addresses import Addresses
from rowstream.stack.broker import PARTITIONS
from rowstream.stack.state_dir import StateDir

if TYPE_CHECKING:
    from rowstream.kafka.drift import Comparison
    from rowstream.runtime.settings import KafkaSettings


def topics(
    *,
    broker: Annotated[
        str | None,
        typer.Option(
            envvar="ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS", help="Which broker; without it, the running system's."
        ),
    ] = None,
    replication: Annotated[
        int,
        typer.Option(min=1, envvar="ROWSTREAM_KAFKA__REPLICATION", help="Copies that each partition should have."),
    ] = 1,
    make: Annotated[
        bool, typer.Option("--make", help="Make the topics and partitions that are missing, correct configuration.")
    ] = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Show where the broker's topics differ from what the system wants.

    Exits with 1 if they do, and with 2 if the broker does not answer.

    More partitions or copies than wanted are no difference. How to reach a broker that wants TLS or a password is read
    from ROWSTREAM_KAFKA__*, as the services read it.

    Example: rowstream topics --broker kafka.example:9092 --replication 3 --make
    """
    from rowstream.kafka.drift import compare, look, mend  # noqa: PLC0415 - only this command needs it
    from rowstream.kafka.topics import create_topics, topics_with  # noqa: PLC0415 - the same
    from rowstream.records import registry  # noqa: PLC0415 - the same

    settings, recorded = _where(broker, state_dir)
    wanted = topics_with(registry.announced())

    def compared() -> "list[Comparison]":
        return compare(wanted, look(settings, wanted), replication=replication, partitions=recorded)

    made: list[str] = []
    changed: list[str] = []
    try:
        found = compared()
    except Retryable as error:
        raise NoSystem(str(error)) from error
    if make:
        made = create_topics(settings, topics=wanted, partitions=recorded, replication=replication)
        changed = mend(settings, compared())
        found = compared()
    if json:
        listed = [_as_json(one) for one in found]
        answer_json({"broker": settings.bootstrap_servers, "made": made, "changed": changed, "topics": listed})
    else:
        answer_table(["topic", "partitions", "copies", "configuration", "key", ""], [_row(one, made) for one in found])
        for line in changed:
            note(line)
    if any(one.faults for one in found):
        if not json:
            note(_way_out(found))
        raise typer.Exit(1)


def broker_settings(address: str) -> "KafkaSettings":
    """How to reach the broker at this address: as the environment says to the services.

    Raises:
        Fatal: the environment says something that cannot be.
    """
    from rowstream.runtime.settings import ServiceSettings  # noqa: PLC0415 - few commands need it

    return ServiceSettings.load().kafka.model_copy(update={"bootstrap_servers": address})


def _where(broker: str | None, state_dir: Path) -> "tuple[KafkaSettings, dict[str, int]]":
    """The broker, and the partition counts that the running system recorded of it."""
    state = StateDir(state_dir)
    system = Addresses.saved(state)
    if broker is None and system is None:
        raise NoSystem(f"no system runs on {state_dir}: start one with `rowstream up`, or give the address")
    address = broker or (system.broker if system else "")
    is_the_systems = system is not None and system.broker == address
    return broker_settings(address), state.read_json(PARTITIONS) if is_the_systems else {}


def _as_json(one: "Comparison") -> dict[str, object]:
    found = one.found
    return {
        "topic": one.topic.name,
        "partitions": found.partitions if found else None,
        "replication": found.replication if found else None,
        "config": {name: found.config.get(name) for name in one.config} if found else None,
        "wanted": {"partitions": one.partitions, "replication": one.replication, "config": one.config},
        "faults": one.faults,
        "key": one.topic.key,
        "carries": one.topic.carries,
    }


def _row(one: "Comparison", made: list[str]) -> list[str]:
    found = one.found
    state = ", ".join(one.faults) or ("made now" if one.topic.name in made else "as wanted")
    config = " ".join(f"{name}={value}" for name, value in one.config.items())
    return [
        one.topic.name,
        _both(found.partitions if found else None, one.partitions),
        _both(found.replication if found else None, one.replication),
        config,
        one.topic.key,
        state,
    ]


def _both(found: int | None, wanted: int) -> str:
    """What is found, and what is wanted where that is more: 4 of 8."""
    return str(found) if found is not None and found >= wanted else f"{found or 0} of {wanted}"


def _way_out(found: "list[Comparison]") -> str:
    copies = any(one.found and one.found.replication < one.replication for one in found)
    way = "`rowstream topics --make` makes what is missing and corrects configuration"
    return way + ("; copies are added with the broker's own kafka-reassign-partitions.sh" if copies else "")
