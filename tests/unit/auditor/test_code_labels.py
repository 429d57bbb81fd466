"""What a message calls an error becomes a label only within bounds."""

import pytest

from auditor.code_labels import CodeLabels


@pytest.mark.parametrize("code", ["VAL_001", "DUP_001", "DB_001", "BIZ_001", "BIZ_NO_WEEKEND", "VAL_IBAN"])
def test_a_code_of_ours_or_of_a_record_type_is_its_own_label(code: str) -> None:
    assert CodeLabels().of(code) == code


@pytest.mark.parametrize("code", ["", "x", "val_001", "DUP_777", "BIZ_", "BIZ_a", "BIZ_1\n", "VAL_" + "X" * 100, "\0"])
def test_all_else_is_one_label(code: str) -> None:
    assert CodeLabels().of(code) == "other"


def test_there_are_no_more_labels_than_record_types_have_codes() -> None:
    labels = CodeLabels(at_most=3)
    assert [labels.of(f"BIZ_{number}") for number in range(5)] == ["BIZ_0", "BIZ_1", "BIZ_2", "other", "other"]
    assert labels.of("BIZ_1") == "BIZ_1"
    assert labels.of("VAL_001") == "VAL_001"
