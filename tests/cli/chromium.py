"""A headless Chromium for tests, driven through its debugging pipe: no port, no driver, no library.

The pipe carries JSON messages that end in a zero byte (https://chromedevtools.github.io/devtools-protocol/). It takes
note of whatever a page complains about and of every address that it asks for.
"""

import base64
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tests.waiting import PATIENCE_S

Json: TypeAlias = Any
"""Decoded JSON; tests look into it freely."""

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--disable-default-apps", "--hide-scrollbars", "--mute-audio", "--remote-debugging-pipe"),
)


class Chromium:
    """A browser; each page is a tab of its own."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to_browser = to_browser
        self._from_browser = from_browser
        self._unread = b""
        self._number = 0
        self._pages: dict[str, Page] = {}

    def call(self, method: str, *, session: str | None = None, wait_s: float = PATIENCE_S, **params: Json) -> Json:
        """Call a method of the protocol and give its result."""
        self._number += 1
        message: dict[str, Json] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        until_s = time.monotonic() + wait_s
        while (found := self._next(until_s)).get("id") != self._number:
            # It was an event, or the late answer to a call that was given up.
            pass
        assert "error" not in found, found["error"]
        return found["result"]

    def _next(self, until_s: float) -> Json:
        """The next message; if it is an event, its page has taken note of it."""
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._from_browser], [], [], max(0.0, until_s - time.monotonic()))
            assert ready, "the browser does not answer"
            some = os.read(self._from_browser, 1 << 20)
            assert some, "the browser has ended"
            self._unread += some
        message, _, self._unread = self._unread.partition(b"\0")
        found = json.loads(message)
        page = self._pages.get(found.get("sessionId", ""))
        if page is not None and "method" in found:
            page.take_note(found["method"], found["params"])
        return found

    def open(self, path: Path, *, dark: bool = False, width: int = 1400, height: int = 1000) -> "Page":
        """Open a file in a new tab, and return once it is loaded and its scripts have run."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Page.setLifecycleEventsEnabled", enabled=True)
        loader = page.call("Page.navigate", url=path.absolute().as_uri())["loaderId"]
        until_s = time.monotonic() + PATIENCE_S
        while loader not in page.loaded:
            self._next(until_s)
        return page


@dataclass
class Page:
    """A tab.

    Attributes:
        complaints: What was written to its console as a warning or an error, policy violations included, and
            exceptions that nobody caught.
        addresses: What it asked the network for, its own file included.
        loaded: The browser's names of the documents whose loading has ended.
    """

    browser: Chromium
    session: str
    target: str
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)

    def take_note(self, event: str, params: Json) -> None:
        """Keep what a test asks about."""
        match event:
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "warning", "assert"}:
                self.complaints.append(str([one.get("value", one.get("description")) for one in params["args"]]))
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description") or details["text"])
            case "Log.entryAdded" if params["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(params["entry"]["text"])
            case "Page.lifecycleEvent" if params["name"] == "load":
                self.loaded.add(params["loaderId"])
            case "Network.requestWillBeSent":
                self.addresses.append(params["request"]["url"])

    def call(self, method: str, **params: Json) -> Json:
        """Call a method of the protocol for this tab."""
        return self.browser.call(method, session=self.session, **params)

    def evaluate(self, expression: str) -> Json:
        """The value of a JavaScript expression; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str, *, wait_s: float = PATIENCE_S) -> None:
        """Wait until a JavaScript condition holds, looking at each frame that the page draws."""
        self.evaluate(
            f"""new Promise((done, failed) => {{
                const until = performance.now() + {wait_s * 1000};
                const look = () => {{
                    if ({condition}) done();
                    else if (performance.now() > until) failed(new Error("not in time: " + {json.dumps(condition)}));
                    else setTimeout(look, 20);
                }};
                look();
            }})"""
        )

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write what is to be seen as PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        """Close the tab."""
        self.browser.call("Target.closeTarget", targetId=self.target)


@contextmanager
def started_chromium(program: str, folder: Path) -> Iterator[Chromium]:
    """A browser with a profile of its own, ended with the block."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    # The browser reads from 3 and writes to 4; a shell can put them there, whatever their numbers are here.
    started = f'exec "$0" "$@" 3<&{to_read} 4>&{from_write}'
    command = ["/bin/bash", "-c", started, program, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(to_read, from_write),
            env=os.environ | {"HOME": str(folder), "TZ": "UTC"},
        )
    os.close(to_read)
    os.close(from_write)
    browser = Chromium(to_write, from_read)
    try:
        yield browser
        browser.call("Browser.close")
        process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(to_write)
        os.close(from_read)
