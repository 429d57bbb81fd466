"""Makes a service's imports quicker; `__main__` imports this before all else, and calls `done` when it runs.

What is imported stays for good: code, classes, schemas. The garbage collector would look through all of it some hundred
times while it comes in, a seventh of the time that it takes, and again in each full collection later. And structlog,
where it finds rich, brings it in to draw on a terminal, which no service does.
"""

import gc
import importlib
import sys
from typing import Any, cast


def done() -> None:
    """Collect garbage from now on, but leave what is there by now alone."""
    gc.freeze()
    gc.enable()


def _import_without(module: str, unwanted: str) -> None:
    """Import a module that can do without another, as though that were not installed."""
    if unwanted in sys.modules or module in sys.modules:
        return
    known = cast("dict[str, Any]", sys.modules)
    known[unwanted] = None
    try:
        importlib.import_module(module)
    finally:
        del known[unwanted]


gc.disable()
_import_without("structlog", "rich")
