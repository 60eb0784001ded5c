"""Headless Chromium, driven by the DevTools protocol over a pipe: no port, no driver.

    with Browser() as browser:
        page = browser.open(path)
        assert page.evaluate("document.title") == "…"

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = shutil.which("chromium")
_PATIENCE = 60  # seconds for any answer
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
    "--disable-dev-shm-usage", "--disable-extensions", "--hide-scrollbars", "--no-proxy-server",
    "--force-color-profile=srgb",
)  # fmt: skip


class Browser:
    """A browser with a profile of its own, which is removed with it."""

    def __enter__(self) -> Self:
        assert PROGRAM is not None
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, self._commands = os.pipe()
        self._answers, from_browser = os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4; Bash puts them there.
        self._process = subprocess.Popen(
            [
                "bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "bash", PROGRAM,
                *_OPTIONS, f"--user-data-dir={self._profile.name}", "--remote-debugging-pipe",
            ],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._number = 0
        self._unread = b""
        self.events: list[dict[str, Any]] = []
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._commands)  # at the end of its commands it exits
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._answers)
        self._profile.cleanup()

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events before that are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while (answer := self._receive()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def wait(self, event: str, session: str) -> None:
        """Return when an event has come."""
        while not any(
            each.get("method") == event and each.get("sessionId") == session for each in self.events
        ):
            self.events.append(self._receive())

    def open(self, path: Path, **media: Any) -> Page:
        """Show a file in a page of its own."""
        return Page(self, path, **media)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            assert select.select([self._answers], [], [], _PATIENCE)[0], "the browser is silent"
            data = os.read(self._answers, 1 << 20)
            assert data, "the browser has ended"
            self._unread += data
        line, self._unread = self._unread.split(b"\0", 1)
        return json.loads(line)


class Page:
    """A file that a browser shows.

    Args:
        browser: which.
        path: the file.
        width, height: of the window, pixels.
        dark: whether the reader's system asks for dark pages.
        script: whether the page's script runs.
    """

    def __init__(
        self, browser: Browser, path: Path,
        *, width: int = 1280, height: int = 900, dark: bool = False, script: bool = True,
    ) -> None:  # fmt: skip
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme = "dark" if dark else "light"
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        if not script:
            self.call("Emulation.setScriptExecutionDisabled", value=True)
        browser.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        browser.wait("Page.loadEventFired", self._session)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key, and let it go."""
        code = {"Tab": 9, "End": 35, "Home": 36, "ArrowRight": 39, "Escape": 27, "Enter": 13}[key]
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def point(self, x: float, y: float) -> None:
        """Move the pointer."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def requests(self) -> list[str]:
        """Return what the page asked for, itself included."""
        return [each["request"]["url"] for each in self._told("Network.requestWillBeSent")]

    def complaints(self) -> list[dict[str, Any]]:
        """Return what the console shows."""
        self.evaluate("0")  # what is under way has been told when this is answered
        return [
            each
            for kind in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
            for each in self._told(kind)
        ]

    def screenshot(self) -> bytes:
        """Return a PNG of the window."""
        self.call("Page.bringToFront")  # what is behind is not painted
        picture = self.call("Page.captureScreenshot")
        return base64.b64decode(picture["data"])

    def pdf(self) -> bytes:
        """Return the page as printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def close(self) -> None:
        """Close the page."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def _told(self, method: str) -> list[dict[str, Any]]:
        return [
            each["params"]
            for each in self._browser.events
            if each.get("method") == method and each.get("sessionId") == self._session
        ]
