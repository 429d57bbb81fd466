"""The table says of every kind of fault whom it needs, and names alerts that there are."""

import re

import pytest

from deploy.prometheus.scrape import HERE
from docs.generate.pages import ROOT
from tests.fault import alerts, plan
from tests.fault.alerts import unwanted
from tests.fault.faults.lasting import LASTING

RULES = (HERE / "alerts.yml").read_text(encoding="utf-8")
SEVERITIES = dict(re.findall(r"- alert: (\w+)\n.*?severity: (\w+)", RULES, re.DOTALL))


def test_every_kind_is_in_it() -> None:
    assert list(alerts.KINDS) == [*plan.KINDS, *LASTING]


def test_whoever_is_needed_is_called() -> None:
    assert all(alerts.KINDS[kind].fires for kind in LASTING)
    assert not any(kind.fires for kind in alerts.KINDS.values() if not kind.needs_person)


def test_every_alert_that_calls_somebody_is_seen_to_fire_and_to_clear() -> None:
    named = {name.partition("/")[0] for kind in alerts.KINDS.values() for name in kind.fires}
    assert named <= SEVERITIES.keys()
    assert {name for name, severity in SEVERITIES.items() if severity == "page"} <= named


def test_the_docs_say_by_what_somebody_is_called() -> None:
    said = (ROOT / "docs" / "explanation" / "failures.md").read_text(encoding="utf-8")
    pages = dict(re.findall(r"- alert: (\w+)\n.*?/user/([a-z-]+\.md)", RULES, re.DOTALL))
    assert pages.keys() == SEVERITIES.keys()
    for kind in LASTING:
        for name in alerts.KINDS[kind].fires:
            assert f"(../how-to/alerts/{pages[name.partition('/')[0]]})" in said, (kind, name)


@pytest.mark.parametrize(
    ("kind", "paged", "expected"),
    [
        ("kill-splitter", set(), 0),
        ("kill-splitter", {"UploadStuck", "UploadStuck/"}, 1),
        ("partition", {"PartAway", "PartAway/auditor", "ApiFails", "ApiFails/"}, 2),
        ("disk-full-postgres", {"PartAway", "PartAway/auditor"}, 0),
    ],
)
def test_a_page_is_wrong_where_all_heals_by_itself(kind: str, paged: set[str], expected: int) -> None:
    assert len(unwanted(kind, paged)) == expected
