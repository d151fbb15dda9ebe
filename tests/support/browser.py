"""A headless Chromium, driven by its DevTools protocol over two pipes: without a server, a driver or a library."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
GONE = "Inspected target navigated or closed"  # the page that was asked
PATIENCE_S = 60  # until a call is given up


class PageError(Exception):
    """An error in the page, or an answer that did not come."""


class Browser:
    """One page of a browser. It notes messages of the console, errors, and every request that leaves the disk."""

    def __init__(self, *switches: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        mine, theirs = os.pipe(), os.pipe()  # what the browser reads, what it writes
        switches = (
            *(
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu-sandbox",
                "--remote-debugging-pipe",
                "--hide-scrollbars",
            ),
            *("--disable-background-networking", "--no-first-run", "--disable-dev-shm-usage", "--disable-extensions"),
            *("--disable-component-update", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
            *(f"--user-data-dir={self._folder.name}", "about:blank", *switches),
        )

        def give_pipes() -> None:
            os.dup2(mine[0], 1003), os.dup2(theirs[1], 1004)  # so that neither is closed by the other
            os.dup2(1003, 3), os.dup2(1004, 4)

        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([str(CHROMIUM), *switches], preexec_fn=give_pipes, close_fds=False, **quiet)
        os.close(mine[0]), os.close(theirs[1])
        self._to, self._from = os.fdopen(mine[1], "wb"), theirs[0]
        self._left, self._number, self._session = b"", 0, None
        self.messages: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self._session = None
        try:
            self.call("Browser.close")
        except (PageError, OSError):
            self._process.kill()
        self._process.wait(PATIENCE_S)
        self._to.close()
        os.close(self._from)
        self._folder.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer. Events on the way are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        if "error" in answer:
            raise PageError(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    def open(self, address: str) -> None:
        """Open an address and wait until the page is loaded, deferred scripts included."""
        self._loaded = False
        if error := self.call("Page.navigate", url=address).get("errorText"):
            raise PageError(f"{address}: {error}")
        if "#" in address and self.run("document.readyState") == "complete":
            return  # the same page at another place
        while not self._loaded:
            self._note(self._next())

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise PageError(answer["exceptionDetails"].get("exception", {}).get("description", str(answer)))
        return answer["result"].get("value")

    def wait(self, script: str) -> None:
        """Wait until an expression is true, in this page or in the one that a click leads to."""
        self.until(lambda: self._holds(script), script)

    def _holds(self, script: str) -> bool:
        try:
            return bool(self.run(f"Boolean({script})"))
        except PageError as error:
            if GONE in str(error):
                return False
            raise

    def until(self, question: Callable[[], bool], name: str = "") -> None:
        """Wait until a question is answered with true. PageError names it where that never happens."""
        end = time.monotonic() + PATIENCE_S
        while not question():
            if time.monotonic() > end:
                raise PageError(f"never true: {name or question}; console: {self.messages}")
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """A click of the mouse on the middle of an element, which is scrolled to."""
        place = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.scrollIntoView();"
            " const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def press(self, key: str) -> None:
        """A key by its name, such as Tab, Enter or Escape."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowDown": 40, " ": 32}
        text = {"Enter": "\r", " ": " "}.get(key, "")
        kind = "keyDown" if text else "rawKeyDown"
        code = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": codes[key]}
        self.call("Input.dispatchKeyEvent", type=kind, text=text, **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def resize(self, width: int, height: int) -> None:
        """The size of the window, CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme: str) -> None:
        """The reader's colour scheme: light or dark."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def allow_scripts(self, allowed: bool) -> None:
        """Whether pages that are opened from now on run scripts. ``run`` works all the same."""
        self.call("Emulation.setScriptExecutionDisabled", value=not allowed)

    def picture(self, path: Path, whole: bool = False) -> bytes:
        """Save what is seen, or the whole page, as PNG."""
        data = base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])
        path.write_bytes(data)
        return data

    def printed(self, path: Path) -> None:
        """Save the page as it is printed, as PDF."""
        pdf = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        path.write_bytes(base64.b64decode(pdf["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            part = os.read(self._from, 1 << 20)
            if not part:
                raise PageError("the browser has ended")
            self._left += part
        text, _, self._left = self._left.partition(b"\0")
        return dict(json.loads(text))

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning"):
                self.messages.append(" ".join(str(one.get("value", one.get("description"))) for one in params["args"]))
            case "Runtime.exceptionThrown":
                self.messages.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.messages.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                address = params["request"]["url"]
                if not address.startswith(("file:", "data:", "blob:", "about:")):
                    self.requests.append(address)
