"""A page in a real Chromium, without a window and without a network, by the DevTools protocol."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1200,1000", "about:blank",
]  # fmt: skip
_PATIENCE_S = 60.0


class Page:
    """One page, and what went wrong in it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.errors: list[str] = []  #: of the console, and uncaught
        self.loaded: list[str] = []  #: every URL that was asked for
        for domain in ("Runtime", "Log", "Page", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        """Send a command; its answer. Events that come meanwhile are noted."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(_PATIENCE_S))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def open(self, path: Path) -> float:
        """Open a report; seconds until its matrix can be used."""
        began = time.monotonic()
        self.send("Page.navigate", url=path.as_uri())
        while self.value("document.body?.dataset.ready ?? ''") != "yes":
            assert time.monotonic() - began < _PATIENCE_S, self.errors
        return time.monotonic() - began

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, selector: str, *, across: float = 0.5) -> None:
        """Press and release the mouse on an element, so far across it."""
        box = self.value(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView(); "
            "const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()"
        )
        place = {"x": box[0] + across * box[2], "y": box[1] + box[3] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def _note(self, message: dict[str, Any]) -> None:
        told = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.errors.append(str(told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                self.errors.append(str(told["entry"]))
            case "Network.requestWillBeSent":
                self.loaded.append(told["request"]["url"])


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """Start Chromium, with its profile in ``folder``; it has ended afterwards."""
    assert CHROMIUM is not None
    command = [CHROMIUM, f"--user-data-dir={folder}", *_FLAGS]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = next(each for each in process.stderr if each.startswith("DevTools listening"))
            browser = line.split()[-1]
            with connect(browser, max_size=None) as root:
                root.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
                while (answer := json.loads(root.recv(_PATIENCE_S))).get("id") != 1:
                    pass
                targets = answer["result"]["targetInfos"]
            target = next(each["targetId"] for each in targets if each["type"] == "page")
            address = f"{browser.partition('/devtools')[0]}/devtools/page/{target}"
            with connect(address, max_size=None) as socket:
                yield Page(socket)
        finally:
            process.kill()
