import pytest

from rowstream.stack.postgres import options_for


@pytest.mark.parametrize(
    ("free", "wal"), [(0, "256MB"), (2_000_000_000, "500MB"), (10_000_000_000, "2500MB"), (10**13, "4096MB")]
)
def test_the_write_ahead_log_leaves_room_on_the_disk(free: int, wal: str) -> None:
    assert options_for(free)["max_wal_size"] == wal


def test_no_durability_is_given_up() -> None:
    assert not {"fsync", "synchronous_commit", "full_page_writes"} & set(options_for(10**13))
