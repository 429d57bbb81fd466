import json
import re
from pathlib import Path

import pytest

from tests.unit.cli.support import run

TYPE = "member_certification"


def test_what_is_installed_is_listed() -> None:
    lines = run("record-types").out.splitlines()
    at = lines.index(f"{TYPE} 1: Member certifications")
    table, key, required, optional = (line.split(maxsplit=1) for line in lines[at + 1 : at + 5])
    assert table == ["table", "member_certifications"]
    assert key == ["key", "member_id, case_number, certification_date"]
    assert (required[0], optional[0]) == ("required", "optional")
    assert required[1].split(", ")[:2] == ["member_id", "case_number"]
    assert "first_name" in optional[1].split(", ")


def test_what_is_installed_as_json_is_what_the_api_says() -> None:
    listed = json.loads(run("record-types", "--json").out)
    assert listed["next_cursor"] is None
    (found,) = [one for one in listed["items"] if one["name"] == TYPE]
    assert found["table"] == "member_certifications"
    assert found["key"] == ["member_id", "case_number", "certification_date"]
    assert set(found["required"]) < set(found["columns"])


def test_a_template_is_a_header_and_two_records(tmp_path: Path) -> None:
    shown = run("template", TYPE).out
    header, *records = shown.splitlines()
    assert header.startswith("member_id,case_number,member_email,")
    assert len(records) == 2
    run("template", TYPE, "--output", str(tmp_path / "t.csv"))
    assert (tmp_path / "t.csv").read_text() == shown


@pytest.mark.parametrize(
    ("arguments", "option"),
    [(("template",), "--output"), (("sample", "--rows", "1"), "--output"), (("sample", "--rows", "1"), "--truth")],
)
def test_a_file_that_is_there_is_left_alone_unless_it_is_forced(
    arguments: tuple[str, ...], option: str, tmp_path: Path
) -> None:
    file = tmp_path / "filled-in"
    file.write_text("by hand")
    command = (*arguments, TYPE, option, str(file))
    refused = run(*command)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == f"rowstream: {file} is there already; give another name, or --force to replace it\n"
    assert file.read_text() == "by hand"
    assert run(*command, "--force").code == 0
    assert file.read_text() != "by hand"


def test_a_sample_comes_with_its_truth(tmp_path: Path) -> None:
    output, truth = tmp_path / "s.csv", tmp_path / "t.jsonl"
    arguments = ("sample", TYPE, "--rows", "300", "--bad", "0.1", "--duplicates", "0.1", "--seed", "7")
    assert run(*arguments, "--output", str(output), "--truth", str(truth)).code == 0
    planted = [json.loads(line) for line in truth.read_text().splitlines()]
    assert 20 < len(planted) < 120
    assert {"row_number", "error_code", "error_codes"} == set(planted[0])
    assert output.read_bytes().count(b"\n") == 301
    again = run(*arguments)
    assert again.out.encode("utf-8", "surrogateescape") == output.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sample", "things", "--rows", "1"), r"rowstream: unknown record type 'things'; installed are: .*member_cert"),
        (("template", "things"), "rowstream: unknown record type 'things'"),
        (("sample", TYPE, "--rows", "1", "--bad", "0.6", "--duplicates", "0.6"), "rowstream: --bad and --duplicates"),
        (("sample", TYPE, "--rows", "1", "--output", "/no/such/x"), "rowstream: /no/such/x cannot be written: No such"),
        (("sample", TYPE, "--rows", "1", "--truth", "/no/such/x"), "rowstream: /no/such/x cannot be written: No such"),
        (("sample", TYPE, "--rows", "-1"), r"(?s).*--rows"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert re.match(said, result.err)
    assert "Traceback" not in result.err
