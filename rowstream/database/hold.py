"""Asks all splitters to send nothing new for a while; only the supervisor of `up` does.

A hold ends by itself: whoever asked for it may die at any moment, and must renew it until then.
"""

from sqlalchemy import Engine, text

_HOLD = text("""
    INSERT INTO sending_hold (name, until) VALUES (:name, clock_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (name) DO UPDATE SET until = excluded.until
""")
_RELEASE = text("DELETE FROM sending_hold WHERE name = :name")
IS_HELD = "EXISTS (SELECT FROM sending_hold WHERE until > clock_timestamp())"
"""For a query of a splitter: whether it may send nothing new."""


def hold(engine: Engine, name: str, *, seconds: float) -> None:
    """From now on, for so many seconds, no splitter sends what it has not sent before."""
    with engine.begin() as connection:
        connection.execute(_HOLD, {"name": name, "seconds": seconds})


def release(engine: Engine, name: str) -> None:
    """They may go on, as far as `name` is concerned."""
    with engine.begin() as connection:
        connection.execute(_RELEASE, {"name": name})
