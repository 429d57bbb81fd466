"""Looks at every partner's SFTP server in its own rhythm, a few at a time; run it in a thread of its own.

The sources file is asked again and again, so a source that is added, changed or taken out there needs no new start. A
partner who is away, whatever goes wrong there, costs only that partner's files: it is tried again, ever more rarely,
the log and a metric say so, and the gateway stays ready.
"""

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor

from ingest_gateway.arrivals.sftp import Stopped, look
from ingest_gateway.arrivals.sftp_errors import PartnerAway
from ingest_gateway.arrivals.sftp_plan import pause_after
from ingest_gateway.gateway import Gateway
from ingest_gateway.sources import SourcesFile
from rowstream.errors import Retryable
from rowstream.runtime.logging import get_logger, log_context, traced
from rowstream.runtime.metrics import SFTP_AWAY, SFTP_LOOKS
from rowstream.runtime.sources import SftpSource

log = get_logger(__name__)

REASONS = ("unreachable", "host_key", "login", "folder", "settings", "unforeseen")
"""Why a partner's files cannot be had."""
_AT_ONCE = 4
_TURN_SECONDS = 0.2


def run(gateway: Gateway, sources: SourcesFile, stop: threading.Event) -> None:
    """Fetch what partners have put on their servers, until `stop`."""
    asyncio.run(_run(gateway, sources, stop))


async def _run(gateway: Gateway, sources: SourcesFile, stop: threading.Event) -> None:
    # A look uses one thread at a time; beyond those there are the ones that end with a look that was given up.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * _AT_ONCE, "sftp"))
    few = asyncio.Semaphore(_AT_ONCE)
    following: dict[SftpSource, asyncio.Task[None]] = {}
    while not stop.is_set():
        for source in sources.now().sftp:
            if source not in following:
                following[source] = asyncio.create_task(_follow(gateway, sources, source, few, stop))
        for source, task in list(following.items()):
            if task.done():
                del following[source]
                task.result()
        await asyncio.sleep(_TURN_SECONDS)
    for task in following.values():
        task.cancel()
    await asyncio.gather(*following.values(), return_exceptions=True)


async def _follow(
    gateway: Gateway, sources: SourcesFile, source: SftpSource, few: asyncio.Semaphore, stop: threading.Event
) -> None:
    """Look at one source in its rhythm, until it is not in the sources file any more."""
    failures = 0
    try:
        while source in sources.now().sftp:
            async with few:
                with log_context(source=source.name):
                    failures = 0 if await _look(gateway, source, stop) else failures + 1
            await asyncio.sleep(pause_after(failures, source.every_seconds, random.random()))  # noqa: S311 - no secret
    finally:
        if source.name not in {one.name for one in sources.now().sftp}:
            _tell(source.name, None)


async def _look(gateway: Gateway, source: SftpSource, stop: threading.Event) -> bool:
    """One look, and what came of it said; whether it was a good one."""
    why = "good"
    try:
        alone = await look(gateway, source, stop)
    except Stopped:
        return True
    except PartnerAway as error:
        why = error.why
        say = log.error if why == "host_key" else log.warning
        say("partner's files cannot be had", why=why, reason=str(error))
    except Retryable as error:
        SFTP_LOOKS.labels(source.name, "ours").inc()
        log.warning("files not fetched, it is tried again", reason=str(error))
        return False
    except Exception as error:  # noqa: BLE001 - whatever a partner's server makes happen, it does not end the gateway
        why = "unforeseen"
        log.error("looking at a partner's files failed", **traced(error))  # noqa: TRY400 - traced leaves out its text
    else:
        why = "good" if alone else "elsewhere"
    SFTP_LOOKS.labels(source.name, why).inc()
    _tell(source.name, why)
    return why not in REASONS


def _tell(name: str, why: str | None) -> None:
    """Say in the metrics for which reason, if for one, a partner's files cannot be had."""
    for reason in REASONS:
        SFTP_AWAY.labels(name, reason).set(reason == why)
