"""A clock that jumps forward does a Kafka client no harm; one that is set back makes its process end."""

import os
import subprocess
import sys
import time
from pathlib import Path

from rowstream.kafka.clock import SET_BACK
from tests import servers
from tests.servers.tools import false_clock

CLIENT = Path(__file__).with_name("waiting_client.py")


def test_a_process_whose_clock_is_set_back_ends(tansu: servers.Tansu, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    with subprocess.Popen(
        [sys.executable, str(CLIENT), tansu.address],
        env=os.environ | false_clock(clock),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            assert process.stderr
            assert process.stdout.readline() == "waits\n"
            clock.write_text("+1h\n")
            time.sleep(4)  # longer than libfaketime keeps what it read, and than two looks at the clock
            assert process.poll() is None
            clock.write_text("+0\n")
            assert process.wait(60) == 1
            assert SET_BACK in process.stdout.read() + process.stderr.read()
        finally:
            process.kill()
