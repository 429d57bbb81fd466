"""Which sources hand in for whom, as a setting says."""

import pytest

from ingest_gateway.arrivals.bindings import Bindings
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.errors import Fatal

DEFAULT = (str(DEFAULT_ORGANIZATION),)


@pytest.mark.parametrize(
    ("said", "source", "organizations"),
    [
        ("", "//anybody", DEFAULT),
        (" , ", "//anybody", DEFAULT),
        ("//crm/*=acme", "//crm/exports", ("acme",)),
        ("//crm/*=acme", "//CRM/exports", ()),
        ("//crm/*=acme", "//crm", ()),
        ("//crm/*=acme", "//anybody", ()),
        (" //crm/* = acme , //hr/*=hill", "//hr/x", ("hill",)),
        ("//hub/*=acme,//hub/*=hill,*=acme", "//hub/x", ("acme", "hill")),
        ("urn:x?a=b=acme", "urn:x?a=b", ("acme",)),
        ("//[ab]=acme", "//b", ("acme",)),
    ],
)
def test_a_source_hands_in_for_those_it_is_bound_to(said: str, source: str, organizations: tuple[str, ...]) -> None:
    assert Bindings.read(said).of(source) == organizations


def test_whether_several_organizations_are_served() -> None:
    assert not Bindings.read("").serve_several
    assert not Bindings.read("//crm/*=acme, //hr/*=acme").serve_several
    assert Bindings.read("//crm/*=acme, //hr/*=hill").serve_several


@pytest.mark.parametrize("said", ["acme", "=acme", "//crm/*=", "//crm/*=acme, x", " = "])
def test_a_setting_that_says_something_else_is_told(said: str) -> None:
    with pytest.raises(Fatal, match="ROWSTREAM_GATEWAY__INTAKE_SOURCES"):
        Bindings.read(said)
