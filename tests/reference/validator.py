"""Member certifications judged record by record, in plain Python, from the words of the specification alone.

Nothing of rowstream is imported here: where this and the vectorized validation agree, two readings of the words do.
"""

import calendar
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

COLUMNS = (
    "member_id", "case_number", "member_email", "first_name", "middle_name", "last_name", "certification_date",
    "certification_type", "lookback_period", "number_of_months_to_certify", "due_period_days", "address", "county",
    "zip_code", "date_of_birth", "pregnancy_status", "race_ethnicity", "work_hours", "other_income_sources", "region",
)  # fmt: skip
REQUIRED = ("member_id", "case_number", "member_email", "certification_date", "certification_type")
DATES = ("certification_date", "date_of_birth")
INTEGERS = ("lookback_period", "number_of_months_to_certify", "due_period_days", "work_hours")
TYPES = ("new_application", "recertification")

# The property White_Space of the Unicode Character Database, PropList.txt.
WHITE_SPACE = {
    *range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000,
}  # fmt: skip

_LETTERS_DIGITS = set(string.ascii_letters + string.digits)
_LOCAL = _LETTERS_DIGITS | set(".!#$%&'*+/=?^_`{|}~-")


@dataclass
class Judgement:
    """What must become of a record: typed values, or errors as (code, columns concerned)."""

    values: dict[str, object] = field(default_factory=dict)
    errors: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)


def judge(record: Mapping[str, str | None]) -> Judgement:
    """A record, by column name; columns that the file lacks are absent."""
    judgement = Judgement()
    missing = tuple(name for name in REQUIRED if is_missing(record.get(name)))
    if missing:
        judgement.errors.append(("VAL_001", missing))
    found: list[tuple[str, int, str]] = []
    for position, name in enumerate(COLUMNS):
        text = record.get(name)
        if text is None or is_missing(text):
            judgement.values[name] = None
            continue
        value, code = read_cell(name, text)
        judgement.values[name] = value
        if code is not None:
            found.append((code, position, name))
    judgement.errors.extend((code, (name,)) for code, _, name in sorted(found))
    if not judgement.errors:
        born, certified = judgement.values["date_of_birth"], judgement.values["certification_date"]
        assert isinstance(certified, date)
        if isinstance(born, date) and born > certified:
            judgement.errors.append(("BIZ_001", ("date_of_birth", "certification_date")))
    if not judgement.errors:
        pregnant = str(judgement.values["pregnancy_status"]).lower() in ("yes", "true")
        judgement.values["pregnancy_due_or_parturition_date"] = certified if pregnant else None
    return judgement


def read_cell(name: str, text: str) -> tuple[object, str | None]:
    """The typed value of a cell that is not missing, and the code of what is wrong with it."""
    if name in DATES:
        day = read_day(text)
        return day, None if day else "VAL_002"
    if name == "member_email":
        return text, None if is_email(text) else "VAL_003"
    if name == "certification_type":
        return text, None if text in TYPES else "VAL_004"
    if name in INTEGERS:
        if 1 <= len(text) <= 18 and all(character in "0123456789" for character in text):
            return int(text), None
        return None, "VAL_005"
    return text, None


def is_missing(text: str | None) -> bool:
    return text is None or all(ord(character) in WHITE_SPACE for character in text)


def read_day(text: str) -> date | None:
    if len(text) != 10 or text[4] != "-" or text[7] != "-":
        return None
    digits = text[:4] + text[5:7] + text[8:]
    if any(character not in "0123456789" for character in digits):
        return None
    year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:])
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    return date(year, month, day)


def is_email(text: str) -> bool:
    """As the HTML standard says: a local part, an at sign, labels of letters, digits and inner hyphens, 63 at most."""
    local, at, domain = text.partition("@")
    if not at or not local or not set(local) <= _LOCAL:
        return False
    return all(
        1 <= len(label) <= 63 and set(label) <= _LETTERS_DIGITS | {"-"} and label[0] != "-" and label[-1] != "-"
        for label in domain.split(".")
    )
