import ast
import subprocess
import sys
from pathlib import Path

import pytest

from rowstream.stack.services import service_names

CHECKOUT = Path(__file__).parents[3]


def test_garbage_is_collected_once_the_imports_are_done() -> None:
    program = """
import gc
from rowstream.runtime import imports
assert not gc.isenabled()
imports.done()
assert gc.isenabled()
assert gc.get_freeze_count() > 1_000
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=CHECKOUT)


@pytest.mark.parametrize("service", service_names(processors=1).values())
def test_a_service_that_turns_the_collector_off_turns_it_on_again(service: str) -> None:
    """Before anything else is imported, and before anything else is done: a service without it would grow for ever."""
    statements = ast.parse((CHECKOUT / service / "__main__.py").read_text()).body
    first = next(one for one in statements if isinstance(one, ast.Import | ast.ImportFrom))
    main = next(one for one in statements if isinstance(one, ast.FunctionDef) and one.name == "main")
    assert ast.unparse(first) == "from rowstream.runtime import imports"
    assert ast.unparse(main.body[1]) == "imports.done()"  # after the docstring


@pytest.mark.parametrize(
    ("service", "unwanted"),
    [
        ("ingest_gateway", ("polars", "numpy", "pyarrow", "dataframely")),
        ("auditor", ("polars", "numpy", "pyarrow", "dataframely", "rich")),
        ("record_processor", ("rich", "boto3")),
        ("splitter", ("rich",)),
    ],
)
def test_a_service_starts_without_what_it_does_not_need(service: str, unwanted: tuple[str, ...]) -> None:
    program = f"import sys, {service}.__main__; print(*(set(sys.modules) & set({unwanted!r})))"
    ended = subprocess.run([sys.executable, "-c", program], check=True, cwd=CHECKOUT, capture_output=True, text=True)
    assert ended.stdout.split() == []
