"""Realistic cells of member certifications: no real people, no real addresses."""

import datetime as dt
from typing import Final

import numpy as np
import polars as pl

from rowstream.records.sample_cells import days, padded, pick, some_empty, whole

_FIRST: Final = (
    "Maria", "James", "Wei", "Fatima", "Liam", "Aisha", "José", "Olga", "Noah", "Priya", "Anders", "Chloé", "Dmitri",
    "Emma", "Kwame", "Lucía", "Mateo", "Nia", "Oskar", "Rosa", "Samuel", "Tomás", "Uma", "Victor", "Yara", "Zoë",
)  # fmt: skip
_LAST: Final = (
    "Smith", "Nguyen", "García", "Johnson", "Kim", "Müller", "Okafor", "Brown", "Silva", "O'Brien", "Patel", "Rossi",
    "Novak", "Chen", "Jones", "Haddad", "Larsen", "Moreau", "Walker", "Ivanova", "Diaz", "Young", "Reyes", "Tanaka",
)  # fmt: skip
_STREETS: Final = ("Main Street", "Oak Avenue", "2nd Street", "Maple Drive", "Park Road", "Church Lane", "River Road")
_COUNTIES: Final = ("Kent", "Sussex", "New Castle", "Orange", "Lake", "Jefferson", "Washington", "Franklin")
_MAILS: Final = ("example.org", "example.com", "mail.example.net", "post.example.edu")
_ORIGINS: Final = ("white", "black", "asian", "hispanic", "native american", "two or more", "declined to say")
_INCOMES: Final = ("none", "none", "none", "child support", "pension", "rent", "self-employed")
_HOUSES, _FLATS = 0.04, 0.3
"""Shares of the addresses that have a name in quotes, and a flat behind a comma."""


def sample(numbers: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    """Cells for records of these numbers: a third of the addresses hold commas, some of them quotes."""
    n = len(numbers)
    first, last = pick(_FIRST, rng, n), pick(_LAST, rng, n)
    member = padded(numbers, 10)
    mail = pl.select(first.str.to_lowercase().str.replace_all("[^a-z]", "") + "." + member + "@" + pick(_MAILS, rng, n))
    return pl.DataFrame(
        {
            "member_id": pl.select("M" + member).to_series(),
            "case_number": pl.select("C-" + padded(numbers // 3 + 1000, 10)).to_series(),
            "member_email": mail.to_series(),
            "first_name": some_empty(first, 0.01, rng),
            "middle_name": some_empty(pick(list("ABCDEFGHJKLMNPRSTVW"), rng, n), 0.6, rng),
            "last_name": some_empty(last, 0.01, rng),
            "certification_date": days(dt.date(2023, 1, 1), dt.date(2025, 6, 30), rng, n),
            "certification_type": pick(["new_application", "recertification", "recertification"], rng, n),
            "lookback_period": some_empty(pick(["1", "3", "6", "12"], rng, n), 0.1, rng),
            "number_of_months_to_certify": pick(["6", "12", "12", "24"], rng, n),
            "due_period_days": some_empty(pick(["10", "30", "45", "60"], rng, n), 0.1, rng),
            "address": _addresses(rng, n),
            "county": pick(_COUNTIES, rng, n),
            "zip_code": padded(rng.integers(501, 99_950, n), 5),
            "date_of_birth": some_empty(days(dt.date(1931, 1, 1), dt.date(2006, 12, 31), rng, n), 0.02, rng),
            "pregnancy_status": some_empty(pick(["no", "no", "no", "no", "yes", "Yes", "true"], rng, n), 0.4, rng),
            "race_ethnicity": some_empty(pick(_ORIGINS, rng, n), 0.2, rng),
            "work_hours": some_empty(whole(0, 60, rng, n), 0.15, rng),
            "other_income_sources": some_empty(pick(_INCOMES, rng, n), 0.3, rng),
            "region": pick(["north", "south", "east", "west"], rng, n),
        }
    )


def _addresses(rng: np.random.Generator, n: int) -> pl.Series:
    street = whole(1, 9999, rng, n) + " " + pick(_STREETS, rng, n)
    flat = street + ", Apt " + whole(1, 400, rng, n)
    house = 'The "' + pick(_LAST, rng, n) + '" House, ' + street
    kind = pl.Series(rng.random(n))
    return pl.select(
        pl.when(kind < _HOUSES).then(house).when(kind < _HOUSES + _FLATS).then(flat).otherwise(street)
    ).to_series()
