"""Every line of a log is one JSON object; a client that repeats itself is cut short; errors are told without cells."""

import json
import logging
from typing import Any

import pytest

from rowstream.runtime.logging import _NotAgain, client_logger, configure_logging, get_logger, log_context, traced
from rowstream.runtime.settings import DatabaseSettings

CELL = "Müller, Anna"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def record(message: str, created: float) -> logging.LogRecord:
    made = logging.LogRecord("x", logging.ERROR, "f", 1, message, (), None)
    made.created = created
    return made


def test_a_line_is_one_json_object_with_its_service_and_facts(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("splitter")
    with log_context(upload_id="u1", correlation_id="c1"):
        get_logger("some.module").info("chunk sent", lane=3)
    get_logger("some.module").info("two\nlines")
    inside, outside = lines(capsys)
    assert inside["event"] == "chunk sent"
    assert (inside["service"], inside["level"], inside["lane"]) == ("splitter", "info", 3)
    assert (inside["upload_id"], inside["correlation_id"]) == ("u1", "c1")
    assert inside["timestamp"].endswith("Z")
    assert "upload_id" not in outside


def test_libraries_speak_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("auditor")
    logging.getLogger("a.library").warning("careful: %s", "x", extra={"port": 1})
    (line,) = lines(capsys)
    assert (line["service"], line["event"], line["level"], line["port"]) == ("auditor", "careful: x", "warning", 1)


def test_the_level_is_kept_and_noisy_libraries_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("auditor", "info")
    get_logger("x").debug("too much")
    logging.getLogger("botocore.endpoint").info("request")
    logging.getLogger("botocore.endpoint").warning("retry")
    assert [line["event"] for line in lines(capsys)] == ["retry"]


def test_a_secret_in_settings_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("x")
    settings = DatabaseSettings.model_validate({"url": "postgresql://u:hunter2@h/d"})
    get_logger("x").info("settings", database=settings, url=settings.url)
    out = capsys.readouterr().err
    assert "hunter2" not in out
    assert "**********" in out


def fail_with_a_cell() -> None:
    raise KeyError(CELL)


def load(*, and_tell_why: bool) -> None:
    try:
        fail_with_a_cell()
    except KeyError as error:
        raise ValueError(f"Failing row contains ({CELL})") from (error if and_tell_why else None)


def test_an_error_is_told_by_its_kind_and_place_and_not_by_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("x")
    try:
        load(and_tell_why=True)
    except ValueError as error:
        get_logger("x").error("group failed", **traced(error))
    (line,) = lines(capsys)
    assert line["error"] == "ValueError from KeyError"
    assert "test_logging.py" in line["at"]
    assert " load" in line["at"]
    assert " fail_with_a_cell" in line["at"]
    assert CELL not in json.dumps(line, ensure_ascii=False)


def test_a_context_that_was_put_aside_is_not_told() -> None:
    with pytest.raises(ValueError, match="Failing row") as caught:
        load(and_tell_why=False)
    assert traced(caught.value)["error"] == "ValueError"


def test_a_client_says_the_same_once_in_a_while() -> None:
    quiet = _NotAgain(seconds=10.0)
    said = [
        quiet.filter(record("connect to 10.0.0.1:9092 failed (after 3ms)", 100.0)),
        quiet.filter(record("connect to 10.0.0.7:9092 failed (after 12ms)", 100.1)),
        quiet.filter(record("something else", 100.2)),
        quiet.filter(record("connect to 10.0.0.1:9092 failed (after 0ms)", 109.9)),
        quiet.filter(record("connect to 10.0.0.1:9092 failed (after 0ms)", 110.0)),
    ]
    assert said == [True, False, True, False, True]


def test_what_it_remembers_is_bounded() -> None:
    quiet = _NotAgain()
    for number in range(3_000):
        quiet.filter(record("line " + "x" * number, 1.0))
    assert len(quiet._said) <= 101


def test_a_clients_logger_is_filtered_once() -> None:
    assert client_logger("some-client") is client_logger("some-client")
    assert len(client_logger("some-client").filters) == 1
