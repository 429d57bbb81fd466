"""The page of the command, from the typer application."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from docs.generate.markdown import code, document, fenced, prose, table
from rowstream.cli.main import VERBS, Group, app, words_of

_EXAMPLE = re.compile(r"^Example: (.*)$", re.MULTILINE)
_EXIT_CODES = [
    ("0", "done"),
    ("1", "what was asked for failed"),
    ("2", "wrong usage, a key that is not let in (HTTP 401 or 403), or no system runs (or answers)"),
]


def page() -> str:
    """Every verb, in the order of `rowstream --help`."""
    group: Any = typer.main.get_command(app)
    return document(
        "The `rowstream` command",
        "rowstream/cli",
        prose(group.help),
        _parameters(group, "rowstream"),
        "Answers go to standard output; progress, notes and errors to standard error. Exit codes:",
        table(["code", "means"], _EXIT_CODES),
        "A command finds the running system through `--state-dir`, or through the variables `ROWSTREAM_URL` and "
        "`ROWSTREAM_API_KEY`, which win. The key of the system on the state folder is sent to that system alone: with "
        "another `ROWSTREAM_URL`, `ROWSTREAM_API_KEY` has to be set.",
        *_panels(group),
    )


def _panels(group: Any) -> Iterator[str]:
    for panel, verbs in VERBS.items():
        yield f"## {panel}"
        for one in verbs:
            command = group.commands[words_of(one)]
            if isinstance(one, Group):
                for verb in one.verbs:
                    yield from _verb(f"{one.name} {words_of(verb)}", command.commands[words_of(verb)])
            else:
                yield from _verb(words_of(one), command)


def _verb(name: str, command: Any) -> Iterator[str]:
    text: str = command.help or ""
    example = _EXAMPLE.search(text)
    yield f"### rowstream {name}"
    yield prose(_EXAMPLE.sub("", text))
    yield fenced(_usage(name, command), "text")
    yield _parameters(command, name)
    if example:
        yield f"Example:\n\n{fenced(example[1], 'sh')}"


def _usage(name: str, command: Any) -> str:
    arguments = [_title(param) for param in command.params if not _is_option(param)]
    return " ".join([f"rowstream {name}", *arguments, "[OPTIONS]"])


def _parameters(command: Any, name: str) -> str:
    context = typer.Context(command, info_name=name)
    shown = [param for param in command.params if not param.hidden]
    rows = [
        (code(_names(param, context)), _default(param), code(param.envvar or ""), _meaning(param)) for param in shown
    ]
    return table(["parameter", "default", "variable", "meaning"], rows)


def _names(param: Any, context: typer.Context) -> str:
    return str(param.get_help_record(context)[0]) if _is_option(param) else _title(param)


def _title(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _default(param: Any) -> str:
    if param.required:
        return "required"
    return code(param.default) if param.default is not None and not getattr(param, "is_flag", False) else ""


def _meaning(param: Any) -> str:
    bounds = (
        f"{word} {limit}"
        for word, limit in (("at least", _limit(param, "min")), ("at most", _limit(param, "max")))
        if limit is not None
    )
    return f"{param.help} {', '.join(bounds).capitalize()}".strip()


def _limit(param: Any, which: str) -> object:
    return getattr(param, which, None)


def _is_option(param: Any) -> bool:
    return any(name.startswith("-") for name in param.opts)
