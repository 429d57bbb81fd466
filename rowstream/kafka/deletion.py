"""Deletes a topic with all that is in it, and who read it; only the supervisor of `up` does, to the embedded broker."""

from concurrent.futures import Future

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from rowstream.errors import Retryable

_SECONDS = 10.0
_CRITICAL = 2  # as syslog numbers levels


def delete_topic(bootstrap_servers: str, name: str) -> None:
    """Delete the topic; nothing if there is none. Nobody may be reading it: the embedded broker does not survive that.

    Raises:
        Retryable: the broker does not answer, or does not do it.
    """
    admin = _admin(bootstrap_servers)
    (deletion,) = admin.delete_topics([name], operation_timeout=_SECONDS, request_timeout=_SECONDS).values()
    _wait(deletion, f"topic {name}", bootstrap_servers, absent="UNKNOWN_TOPIC_OR_PART")


def delete_group(bootstrap_servers: str, name: str) -> None:
    """Delete a consumer group with its offsets; nothing if there is none. Its members must have left.

    The embedded broker may let nobody into a group again that several members left at the same time; into a new one of
    the same name it lets everybody at once.

    Raises:
        Retryable: the broker does not answer, or does not do it.
    """
    admin = _admin(bootstrap_servers)
    (deletion,) = admin.delete_consumer_groups([name], request_timeout=_SECONDS).values()
    _wait(deletion, f"group {name}", bootstrap_servers, absent="GROUP_ID_NOT_FOUND")


def _admin(bootstrap_servers: str) -> AdminClient:
    """A client to be kept in hand until its answer is there: what it was asked for ends with it."""
    return AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": _CRITICAL})


def _wait(deletion: Future[None], what: str, bootstrap_servers: str, *, absent: str) -> None:
    """Until it is done; the error named `absent` says that there was none, which is as good."""
    try:
        deletion.result(timeout=2 * _SECONDS)
    except KafkaException as error:
        if error.args[0].name() != absent:
            raise Retryable(f"the {what} could not be deleted: {error.args[0].str()}") from error
    except TimeoutError as error:
        raise Retryable(f"the broker at {bootstrap_servers} does not answer") from error
