"""How many records an upload counts as having that was cut short."""

import pytest

from auditor.closing import total_of
from auditor.completion import Split


@pytest.mark.parametrize(
    ("split", "known", "total"),
    [
        pytest.param(None, 0, 0, id="never noted"),
        pytest.param(Split(attempt=1), 0, 0, id="nothing cut"),
        pytest.param(Split(attempt=1, records_split=500), 200, 500, id="cut so far"),
        pytest.param(Split(attempt=1, records_split=100), 200, 200, id="noted before the last chunks"),
        pytest.param(Split(attempt=1, records_split=0, records=900), 200, 900, id="read to its end before it failed"),
    ],
)
def test_total(split: Split | None, known: int, total: int) -> None:
    assert total_of(split, known) == total
