import pytest

from rowstream.cli.given_addresses import check_servers
from rowstream.cli.options import WrongUsage
from tests.unit.cli.support import run


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"broker": "kafka.example:9092"},
        {"broker": "a.example:9092, [::1]:9093,SASL_SSL://c.example:9094"},
        {"database": "postgresql://me:secret@db.example:5432/records"},
        {"database": "postgres:///records?host=/run/postgresql"},
        {"storage": "http://127.0.0.1:9000"},
    ],
)
def test_addresses_that_can_be_some(given: dict[str, str]) -> None:
    check_servers(**{"broker": None, "database": None, "storage": None, **given})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"broker": "nonsense"}, "--broker is 'nonsense', which is not host:port"),
        ({"broker": "a.example:9092,"}, "--broker is"),
        ({"broker": "a.example:0"}, "--broker is"),
        ({"broker": "a.example:70000"}, "--broker is"),
        ({"database": "records"}, "--database is 'records', .* it has to begin with postgresql:// or postgres://"),
        ({"database": "mysql://me@db.example/records"}, "it has to begin with postgresql://"),
        ({"database": "postgresql://me:secret@db.example:x/records"}, "--database is .*[Pp]ort"),
        ({"storage": "s3.example"}, "--storage is 's3.example', .* it has to begin with http:// or https://"),
        ({"storage": "http://"}, "it names no host"),
    ],
)
def test_what_is_no_address_is_named(given: dict[str, str], said: str) -> None:
    with pytest.raises(WrongUsage, match=said) as caught:
        check_servers(**{"broker": None, "database": None, "storage": None, **given})
    assert "secret" not in str(caught.value)


def test_up_says_so_at_once() -> None:
    result = run("up", "--broker", "nonsense")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("rowstream: --broker is 'nonsense'")
