"""A gateway that looks once at one SFTP source; run it as a program, so that it can die.

Arguments: the database's address, the store's, the source as JSON, and after which step it kills itself.
"""

import json
import os
import signal
import sys

from rowstream.runtime.settings import StorageSettings
from rowstream.runtime.sources import SftpSource
from rowstream.runtime.steps import Step, observe
from tests import gateways
from tests.partners import look_once


def main(url: str, storage: str, source: str, last: str) -> None:
    """Look once, up to the step."""

    def die(step: Step) -> None:
        if step.value == last:
            os.kill(os.getpid(), signal.SIGKILL)

    observe(die)
    with gateways.opened(gateways.gateway_settings(url, StorageSettings.model_validate_json(storage))) as gateway:
        look_once(gateway, SftpSource.model_validate(json.loads(source)))


if __name__ == "__main__":
    main(*sys.argv[1:])
