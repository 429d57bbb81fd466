import pytest

from rowstream.cli.proxies import without_proxy_here


@pytest.mark.parametrize(
    ("environment", "exempt"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "db.example, 127.0.0.1"}, "db.example,127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "loses", "no_proxy": "wins"}, "wins,localhost,127.0.0.1,::1"),
    ],
)
def test_this_machine_needs_no_proxy(environment: dict[str, str], exempt: str) -> None:
    assert without_proxy_here(environment) == {"no_proxy": exempt, "NO_PROXY": exempt}


def test_who_exempts_everything_needs_nothing() -> None:
    assert without_proxy_here({"no_proxy": "*"}) == {}
