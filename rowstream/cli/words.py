"""Numbers as people read them."""

from datetime import datetime
from typing import Any

_THOUSAND = 1000.0
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def count(number: int) -> str:
    """`336,776`."""
    return f"{number:,}"


def counted(number: int, thing: str) -> str:
    """`1 record`, `336,776 records`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def size(number: int) -> str:
    """A number of bytes: `512 bytes`, `31.1 MB`; units are powers of 1,000, as disks and networks are sold."""
    amount = float(number)
    for unit in _UNITS[:-1]:
        if round(amount, 1) < _THOUSAND:
            return f"{number} {unit}" if unit == _UNITS[0] else f"{amount:.1f} {unit}"
        amount /= _THOUSAND
    return f"{amount:.1f} {_UNITS[-1]}"


def span(seconds: float) -> str:
    """A duration: `0.42 s`, `7.9 s`, `1 min 05 s`, `2 h 03 min`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    return f"{seconds:.1f} s" if round(seconds, 1) < _MINUTE else rough(seconds)


def rough(seconds: float) -> str:
    """A duration that nobody knows exactly: `8 s`, `1 min 05 s`, `2 h 03 min`."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"


def rate(number: int, seconds: float) -> str:
    """`42,630 records/s`; nothing where there was no time to measure."""
    return f"{round(number / seconds):,} records/s" if seconds > 0 else ""


def moment(text: Any) -> str:
    """A time of the API in this machine's zone: `2026-02-03 14:05:06`; nothing for None."""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}" if text else ""


def age(text: str, now: datetime) -> str:
    """How long ago a time of the API is, roughly: `12 s`, `5 min`, `3 h`, `8 d`."""
    seconds = max((now - datetime.fromisoformat(text)).total_seconds(), 0)
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds)} s"
