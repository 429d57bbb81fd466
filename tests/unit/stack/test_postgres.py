import pytest

from rowstream.stack.postgres import options_for, why


@pytest.mark.parametrize(
    ("free", "wal"), [(0, "256MB"), (2_000_000_000, "500MB"), (10_000_000_000, "2500MB"), (10**13, "4096MB")]
)
def test_the_write_ahead_log_leaves_room_on_the_disk(free: int, wal: str) -> None:
    assert options_for(free)["max_wal_size"] == wal


def test_no_durability_is_given_up() -> None:
    assert not {"fsync", "synchronous_commit", "full_page_writes"} & set(options_for(10**13))


FULL = """\
2026-11-22 06:08:36.561 UTC [1712] FATAL:  could not extend file "base/1/2691": No space left on device
2026-11-22 06:08:36.561 UTC [1712] HINT:  Check free disk space.
2026-11-22 06:08:36.561 UTC [1712] PANIC:  cannot abort transaction 1, it was already committed
Aborted
child process exited with exit code 134
initdb: removing data directory "/x/data.new"
"""


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (FULL, 'could not extend file "base/1/2691": No space left on device; Check free disk space.'),
        (
            'initdb: error: could not access directory "/x": Permission denied\n',
            'could not access directory "/x": Permission denied',
        ),
        ("something\nSegmentation fault\n", "Segmentation fault"),
        ("", "initdb said nothing"),
    ],
)
def test_what_went_wrong_is_what_the_program_calls_an_error(said: str, shown: str) -> None:
    assert why(said, "initdb") == shown
