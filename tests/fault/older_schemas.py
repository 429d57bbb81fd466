"""A patch that the victim program runs: this process speaks the oldest version of every message's schema there is."""

import json
from pathlib import Path

from rowstream.messages import codec

_HISTORY = Path(__file__).parents[2] / "schemas" / "history"
_today = codec.contract


def _former(name: str) -> codec.Contract:
    history = _HISTORY / name / "1.avsc"
    if not history.is_file():
        return _today(name)
    schema = json.loads(history.read_text(encoding="utf-8"))
    parsed = codec._parse(json.loads(history.read_text(encoding="utf-8")))
    return codec.Contract(name, schema, parsed, codec.fingerprint(schema))


_known = {contract.name: _former(contract.name) for contract in codec.contracts()}
codec.contract = _known.__getitem__  # type: ignore[assignment]
