"""Tries a source out: logs in, lists the folder, says what would be taken, and takes nothing; `rowstream sftp check`.

Run as a program, it answers with one JSON object: `files` and `complete`, or `error`. It asks no database, so it does
not know what was taken before.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest_gateway.arrivals.sftp_errors import PartnerAway
from ingest_gateway.arrivals.sftp_plan import Act, Decision, plan
from ingest_gateway.arrivals.sftp_server import Listing, connected
from ingest_gateway.settings import GatewaySettings
from rowstream.errors import Fatal
from rowstream.runtime.sources import SftpSource, read


def check(source: SftpSource, *, max_bytes: int) -> dict[str, Any]:
    """What a look at the source would find now.

    Raises:
        PartnerAway: the server cannot be used; says what a person can do about it.
    """
    listing = asyncio.run(_list(source))
    decisions = plan(source, listing.names, {}, max_bytes=max_bytes)
    return {"complete": listing.complete, "files": [_as_json(source, decision) for decision in decisions]}


async def _list(source: SftpSource) -> Listing:
    async with connected(source) as folder:
        return await folder.list()


def _as_json(source: SftpSource, decision: Decision) -> dict[str, Any]:
    reason = decision.reason
    if decision.act is Act.WAIT and source.settled_seconds is not None:
        reason = f"it is taken once it has not changed for {source.settled_seconds:g} s"
    file = decision.file
    return {
        "path": file.path,
        "size_bytes": file.size,
        "modified_at": datetime.fromtimestamp(file.modified, UTC).isoformat(),
        "would": decision.act.value,
        "reason": reason,
    }


def main(name: str, file: str) -> None:
    """Check the source of this name in this file, and answer on stdout; exits with 1 if that failed."""
    try:
        source = _source(name, file)
        answer = check(source, max_bytes=GatewaySettings.load().gateway.max_upload_bytes)
    except (Fatal, PartnerAway) as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer))
    sys.exit("error" in answer)


def _source(name: str, file: str) -> SftpSource:
    for source in read(Path(file)).sftp:
        if source.name == name:
            return source
    raise Fatal(f"{file} has no [[sftp]] of the name {name!r}; `rowstream sources check {file}` lists what it has")


if __name__ == "__main__":
    main(*sys.argv[1:])
