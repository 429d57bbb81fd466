"""Logs as JSON lines on stderr, with the service, the upload and the correlation id; never a cell of a record."""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import structlog

Logger = structlog.stdlib.BoundLogger

_REMEMBERED_LINES = 100
_NOISY = (
    "asyncssh",
    "botocore",
    "boto3",
    "urllib3",
    "httpx",
    "httpcore",
    "uvicorn.access",
    "aiokafka",
    "faust",
    "mode",
    "alembic",
)


def configure_logging(service: str, level: str = "info") -> None:
    """Send all logs of this process, the libraries' too, to stderr as one JSON object a line."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]

    def name_service(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        return {"service": service, **event}

    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            name_service,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def client_logger(name: str) -> logging.Logger:
    """A standard logger for a library that logs by itself; says the same thing once in ten seconds at most."""
    logger = logging.getLogger(name)
    if not logger.filters:
        logger.addFilter(_NotAgain())
    return logger


class _NotAgain(logging.Filter):
    """Lets a line through once in a while: a client that cannot connect says so many times a second."""

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is logged; what differs only in numbers counts as the same."""
        line = "".join(character for character in record.getMessage() if not character.isdigit())
        if record.created - self._said.get(line, -self._seconds) < self._seconds:
            return False
        if len(self._said) > _REMEMBERED_LINES:
            self._said.clear()
        self._said[line] = record.created
        return True


def get_logger(name: str) -> Logger:
    """A logger; give it an event's name and facts: `log.info("chunk sent", upload_id=..., lane=...)`."""
    logger: Logger = structlog.stdlib.get_logger(name)
    return logger


def traced(error: BaseException) -> dict[str, str]:
    """Facts for a log line about an error: what kind, and where from; never its text, which may hold a cell."""
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for one in _with_causes(error)
        for frame in traceback.extract_tb(one.__traceback__)
    ]
    return {"error": " from ".join(type(one).__qualname__ for one in _with_causes(error)), "at": "; ".join(frames)}


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def log_context(**facts: object) -> AbstractContextManager[None]:
    """Add facts (upload_id, correlation_id, ...) to every line logged inside the `with`, in this thread or task."""
    return structlog.contextvars.bound_contextvars(**facts)
