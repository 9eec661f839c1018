"""A visitor's browser that nobody watches: how soon are a page's pictures drawn?

Playwright's page, like any debugger that listens to a page's runtime, makes Chromium work out the source position of
every exception that is thrown. Plotly throws one as it starts, and re-parsing its five megabytes for that takes half a
second which no visitor spends. So the page is opened by Chromium's own door, left alone, and asked afterwards for the
user timings that it left (``dashboard/kit/assets/timing.js``).
"""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from tests.dashboard.conftest import CHROMIUM_ARGUMENTS

_MARKS = """(() => {
  const own = performance.getEntriesByType("mark").filter(({ name }) => name.startsWith("sm3:"));
  return Object.fromEntries(own.map(({ name, startTime }) => [name.slice(4), startTime]));
})()"""


class Visitor:
    """A running Chromium with a profile of its own; its cache grows with each visit, as a person's does."""

    def __init__(self, port: int) -> None:
        self._door = f"http://127.0.0.1:{port}/json"

    def open(self, url: str, wanted: set[str], settle_s: float = 6.0) -> float:
        """Opens a page, leaves it alone for ``settle_s`` and returns when all that is wanted had been drawn.

        Args:
            url: the page.
            wanted: names of the pictures that have to be drawn; ``bytes*`` is any that begins so.
            settle_s: seconds after which the page is asked.

        Returns:
            seconds after navigation.

        Raises:
            RuntimeError: not all of ``wanted`` were drawn by then.
        """
        asked = urllib.request.Request(f"{self._door}/new?{urllib.parse.quote(url, safe='')}", method="PUT")
        with urllib.request.urlopen(asked, timeout=30) as answer:
            tab = json.load(answer)
        time.sleep(settle_s)
        marks = _evaluate(tab["webSocketDebuggerUrl"], _MARKS)
        urllib.request.urlopen(f"{self._door}/close/{tab['id']}", timeout=30).close()
        drawn = {name: [at for mark, at in marks.items() if fnmatch(mark, name)] for name in wanted}
        if missing := [name for name, times in drawn.items() if not times]:
            raise RuntimeError(
                f"{', '.join(sorted(missing))} not drawn within {settle_s:g} s on {url}; drawn: {sorted(marks)}"
            )
        return max(at for times in drawn.values() for at in times) / 1e3


@contextmanager
def visitor(chromium: str, profile: Path) -> Iterator[Visitor]:
    """Runs a headless Chromium with an empty profile in the folder ``profile``."""
    arguments = [
        "--headless",
        "--window-size=1440,900",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        *CHROMIUM_ARGUMENTS,
        "about:blank",
    ]
    process = subprocess.Popen([chromium, *arguments], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield Visitor(_port(profile))
    finally:
        process.terminate()
        process.wait(20)


def _port(profile: Path) -> int:
    """Returns the port that Chromium chose, once it has written it down."""
    for _ in range(200):
        time.sleep(0.1)
        if (told := profile / "DevToolsActivePort").exists() and re.match(r"\d+\n", told.read_text()):
            time.sleep(2)  # a browser is busy for a while after it is there
            return int(told.read_text().split()[0])
    raise RuntimeError("Chromium did not start within 20 s")


def _evaluate(address: str, expression: str) -> dict[str, Any]:
    with connect(address, max_size=None) as socket:
        parameters = {"expression": expression, "returnByValue": True}
        socket.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": parameters}))
        answer = json.loads(socket.recv(timeout=30))
    found: dict[str, Any] = answer["result"]["result"]["value"]
    return found
