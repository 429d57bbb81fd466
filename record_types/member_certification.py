"""Member certifications: who is certified for a benefit, since when and for how long."""

from typing import Final

import dataframely as dy
import polars as pl

from record_types.member_certification_sample import sample
from rowstream.records import BusinessRule, Derived, RecordType

# The pattern that the HTML standard gives for <input type=email>: what people's browsers take.
EMAIL: Final = (
    r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
)


class Columns(dy.Schema):
    """The cells of a certification, in the order of the file that the template makes."""

    member_id = dy.String(nullable=False)
    case_number = dy.String(nullable=False)
    member_email = dy.String(
        nullable=False,
        regex=EMAIL,
        metadata={"error_code": "VAL_003", "error_message": "must be an e-mail address"},
    )
    first_name = dy.String(nullable=True)
    middle_name = dy.String(nullable=True)
    last_name = dy.String(nullable=True)
    certification_date = dy.Date(nullable=False)
    certification_type = dy.Enum(["new_application", "recertification"], nullable=False)
    lookback_period = dy.Int64(nullable=True, min=0)
    number_of_months_to_certify = dy.Int64(nullable=True, min=0)
    due_period_days = dy.Int64(nullable=True, min=0)
    address = dy.String(nullable=True)
    county = dy.String(nullable=True)
    zip_code = dy.String(nullable=True)
    date_of_birth = dy.Date(nullable=True)
    pregnancy_status = dy.String(nullable=True)
    race_ethnicity = dy.String(nullable=True)
    work_hours = dy.Int64(nullable=True, min=0)
    other_income_sources = dy.String(nullable=True)
    region = dy.String(nullable=True)


RECORD_TYPE: Final = RecordType(
    name="member_certification",
    version=1,
    title="Member certifications",
    table="member_certifications",
    schema=Columns,
    key=("member_id", "case_number", "certification_date"),
    rules=(
        BusinessRule(
            code="BIZ_001",
            message="nobody is born after the certification date",
            fields=("date_of_birth", "certification_date"),
            violated=pl.col("date_of_birth") > pl.col("certification_date"),
            breaks={"date_of_birth": "2191-03-14"},
        ),
    ),
    derived={
        "pregnancy_due_or_parturition_date": Derived(
            column=dy.Date(nullable=True),
            value=pl.when(pl.col("pregnancy_status").str.to_lowercase().is_in(["yes", "true"])).then(
                pl.col("certification_date")
            ),
        )
    },
    sample=sample,
)
