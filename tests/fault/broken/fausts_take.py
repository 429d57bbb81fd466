"""A broken auditor: it reads as Faust's manual shows, by `take`, and an error is Faust's own affair."""

import asyncio
import runpy
from pathlib import Path
from typing import Any

from auditor import app
from auditor.receiver import Read

runpy.run_path(str(Path(__file__).with_name("fold_fails_once.py")))


def _follow(self: app.Projection, topic: str, read: Read) -> None:
    raw = self._app.topic(
        topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", internal=True
    )

    async def agent(stream: Any) -> None:
        async for events in stream.take(self._batch_results, within=self._linger_seconds):
            messages = [app._received(event.message) for event in events]
            await asyncio.to_thread(self._receiver.take, messages, read)

    self._app.agent(raw, name=f"auditor.{topic}", concurrency=1)(agent)


app.Projection._follow = _follow  # type: ignore[method-assign]
