"""Reads the settings and hands them to the service."""

from rowstream.runtime import imports

# isort: split
import sys

from ingest_gateway.service import serve
from ingest_gateway.settings import GatewaySettings
from rowstream.errors import Fatal


def main() -> None:
    """Run one gateway until SIGTERM."""
    imports.done()
    try:
        well = serve(GatewaySettings.load())
    except Fatal as error:
        sys.exit(f"ingest_gateway: {error}")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
