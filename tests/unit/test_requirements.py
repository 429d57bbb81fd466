"""The pinned requirements install as they are, also once newer versions than the pinned ones are out."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PINNED = {
    requirement.name.lower(): requirement
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if (match := re.match(r"([\w.\-]+(\[[\w,\-]+\])?==\S+)", line))
    for requirement in [Requirement(match.group(1))]
}
NEEDED = sorted(
    {
        (needed.name.lower(), extra)
        for name in PINNED
        for needed in map(Requirement, metadata.requires(name) or ())
        for extra in needed.extras
        if needed.name.lower() in PINNED and (needed.marker is None or needed.marker.evaluate({"extra": ""}))
    }
)


def test_some_parts_need_others_with_extras() -> None:
    assert ("coverage", "toml") in NEEDED


@pytest.mark.parametrize(("name", "extra"), NEEDED)
def test_a_part_that_is_needed_with_an_extra_is_pinned_with_it(name: str, extra: str) -> None:
    """Older versions of pip take the newest of a part with an extra for want of a pin of it, and then have no hash."""
    assert extra in PINNED[name].extras
