"""Drives a headless Chromium over its DevTools protocol, by a pipe: no port is opened, no driver is installed.

Messages are JSON ended by a zero byte; Chromium reads them from file descriptor 3 and writes them to 4
(``--remote-debugging-pipe``). Domains and methods: https://chromedevtools.github.io/devtools-protocol/.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

QUIET: Final = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
"""What keeps a browser from traffic of its own."""

STARTS: Final = 3
"""How often a browser is started that ends before its first answer."""

_KEYS: Final = {
    "Tab": (9, "", 0), "Shift+Tab": (9, "", 8), "Enter": (13, "\r", 0), "Space": (32, " ", 0), "Escape": (27, "", 0),
    "ArrowLeft": (37, "", 0), "ArrowUp": (38, "", 0), "ArrowRight": (39, "", 0), "ArrowDown": (40, "", 0),
}  # fmt: skip
"""Virtual key code, the text that the key produces, and modifiers (8 is Shift)."""


def executable() -> str:
    """Return the path of Chromium; skip the test where it is not installed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("Chromium is not installed; .ci/browser installs it where it may")
    return found


class Page:
    """One tab. Every call waits for the browser's answer."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to_browser, self._from_browser = to_browser, from_browser
        self._received = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; raise ``RuntimeError`` if the browser refuses."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            more = os.read(self._from_browser, 1 << 20)
            if not more:
                raise RuntimeError("Chromium has ended")
            self._received += more
        message, _, self._received = self._received.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def open(self, path: Path, *, scripts: bool = True) -> None:
        """Open a file and wait until it has loaded."""
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.go(path.as_uri())

    def go(self, url: str) -> None:
        """Open an address and wait until it has loaded; raise ``RuntimeError`` if nothing answers there."""
        self.events.clear()
        document = self.call("Page.navigate", url=url)
        if "errorText" in document:
            raise RuntimeError(f"{url}: {document['errorText']}")
        loaded = {"name": "load", "loaderId": document["loaderId"]}
        while not any(
            event.get("method") == "Page.lifecycleEvent" and loaded.items() <= event["params"].items()
            for event in self.events
        ):
            self.events.append(self._next())

    def show(self, *, width: int, height: int = 900, dark: bool = False, still: bool = True) -> None:
        """Set the size of the page, the colour scheme, and whether the system asks for less motion."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)

    def run(self, script: str) -> Any:
        """Return what a JavaScript expression gives, as JSON; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:1000])
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key."""
        code, text, modifiers = _KEYS[key]
        name = {"Space": " ", "Shift+Tab": "Tab"}.get(key, key)
        common = {
            "key": name,
            "code": key.removeprefix("Shift+"),
            "windowsVirtualKeyCode": code,
            "modifiers": modifiers,
        }
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self, *, whole: bool = True) -> bytes:
        """Return a PNG of the whole page, or of what is in the window."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])


@contextmanager
def chromium() -> Iterator[Page]:
    """Start a browser with a fresh profile; it ends with the block.

    A browser that ends before its first answer is started again, ``STARTS`` times in all: on a machine with little
    free memory Chromium's start is what fails. Raise ``RuntimeError`` with what it printed after the last one.
    """
    browser = executable()
    with ExitStack() as ended_with_the_block:
        for start in range(1, STARTS + 1):
            try:
                page = ended_with_the_block.enter_context(_started(browser))
                break
            except RuntimeError:
                if start == STARTS:
                    raise
        yield page


@contextmanager
def _started(browser: str) -> Iterator[Page]:
    read_end, to_browser = os.pipe()
    from_browser, write_end = os.pipe()

    def pass_pipes() -> None:
        # Both are moved out of the way first: either may be 3 or 4 itself. The next free number is nobody's.
        received, sent = (fcntl.fcntl(end, fcntl.F_DUPFD, 5) for end in (read_end, write_end))
        os.dup2(received, 3)
        os.dup2(sent, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--hide-scrollbars", *QUIET,
             "--disable-dev-shm-usage", f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"],
            stdout=printed, stderr=printed, close_fds=False, preexec_fn=pass_pipes,  # noqa: PLW1509
        )  # fmt: skip
        os.close(read_end)
        os.close(write_end)
        try:
            try:
                page = Page(to_browser, from_browser)
            except (RuntimeError, BrokenPipeError) as error:
                printed.seek(0)
                raise RuntimeError(f"{error}: {printed.read()[-2000:].decode(errors='replace')}") from error
            yield page
        finally:
            os.close(to_browser)
            os.close(from_browser)
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
