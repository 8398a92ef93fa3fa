"""The demo in a real browser: its server in a process of its own, and Chromium, which every test gets a fresh window of.

Needs the extra ``demo``, Playwright and Debian's Chromium; where one is missing the tests fail and say so. They are left out
only on request (``-m "not browser"``). DIFFUSIONLM_SCREENSHOTS=FOLDER writes the pictures of the documentation.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

START_SECONDS = 280
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PLUGIN = '''
from diffusionlm.guidance import Guidance, register


@register("no-pubs")
class NoPubs(Guidance):
    """Lower the expected number of pubs.

    Args:
        words: which words are meant.
    """

    weight: float = 8.0
    words: list[str] = ("pub",)

    def bind(self, vocabulary):
        self.ids = vocabulary.where(lambda text: text.lower() in self.words)

    def energy(self, state):
        return state.probs[..., self.ids].sum((-1, -2))

    def highlight(self, text):
        place = text.find("pub")
        return [] if place < 0 else [(place, place + 3, "is a pub")]


@register("stumbles")
class Stumbles(Guidance):
    """Breaks in the middle of the work."""

    def energy(self, state):
        if state.step == 2:
            raise RuntimeError("stumbled")
        return state.probs[..., 0].sum(-1)
'''
# What the server tries to reach, other than this machine, is written down.
WATCH = """
import os, socket
_connect = socket.socket.connect
def connect(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        with open(os.environ["WATCHED"], "a") as file:
            file.write(f"{address}\\n")
    return _connect(self, address)
socket.socket.connect = connect
"""


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "browser: drives the demo in Chromium; needs the extra demo, Playwright, Chromium"
    )


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in Path(item.fspath).parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; fails with what to install."""
    missing = [name for name in ("gradio", "playwright") if find_spec(name) is None]
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if missing or path is None:
        needs = [
            *(f"the package {name} (pip)" for name in missing),
            *(["Chromium (apt-get install chromium)"] * (not path)),
        ]
        pytest.fail(
            f"The browser tests need {' and '.join(needs)}; leave them out with -m 'not browser'.", pytrace=False
        )
    return path


class Server:
    """The demo as a process, with a home of its own so that nothing it leaves behind is missed."""

    def __init__(self, home: Path) -> None:
        self.home, self.log = home, home / "log.txt"
        plugins = home / "plugins"
        information = plugins / "fixture_plugins-1.0.dist-info"
        information.mkdir(parents=True)
        (plugins / "fixture_plugins.py").write_text(PLUGIN)
        (plugins / "sitecustomize.py").write_text(WATCH)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: fixture-plugins\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(
            "[diffusionlm.guidance]\nno-pubs = fixture_plugins:NoPubs\nstumbles = fixture_plugins:Stumbles\n"
        )
        self.watched = home / "watched.txt"
        self.disk = home / "disk"
        self.disk.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        names = ("TMPDIR", "HOME", "GRADIO_TEMP_DIR", "XDG_CACHE_HOME", "HF_HOME", "MPLCONFIGDIR")
        own = {name: str(self.disk) for name in names} | {"WATCHED": str(self.watched)}
        path = os.pathsep.join([str(plugins), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "diffusionlm", "demo", "--port", str(self.port)],
            env=os.environ | own | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            cwd=self.disk,
        )

    def wait(self) -> None:
        """Until it answers."""
        while time.monotonic() - self.began < START_SECONDS:
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except OSError:
                time.sleep(0.3)
        pytest.fail(f"The demo did not start:\n{self.log.read_text()}", pytrace=False)

    def everything_kept(self) -> str:
        """Its log, and all that it wrote to disk, as text."""
        files = [self.log, *(path for path in self.disk.rglob("*") if path.is_file())]
        return "\n".join(path.read_bytes().decode("utf-8", errors="replace") for path in files)


@pytest.fixture(scope="session")
def server(chromium, tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("demo"))
    try:
        running.wait()
        yield running
    finally:
        running.process.terminate()
        try:
            running.process.wait(10)
        except subprocess.TimeoutExpired:
            running.process.kill()


@pytest.fixture(scope="session")
def browser(chromium):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield instance
        instance.close()


class Visit:
    """A window on the page, with what it asked for and what went wrong in it."""

    def __init__(self, browser, url: str, **settings) -> None:
        settings = {"viewport": {"width": 1360, "height": 1000}, "reduced_motion": "reduce"} | settings
        self.context = browser.new_context(**settings)
        self.context.set_default_timeout(90_000)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.troubles: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.troubles.append(said.text))
        self.page.goto(url)
        self.page.locator("#dl-write").wait_for()

    def write(self) -> None:
        """Presses the button."""
        self.page.locator("#dl-write").click()

    def state(self, name: str) -> None:
        """Waits until the result is in a state."""
        self.page.locator(f'.dl-viewer[data-state="{name}"]').wait_for()

    def finished(self) -> list[str]:
        """The texts, when they are finished; guided and unguided in turns where there are both."""
        self.state("done")
        return self.page.locator(".dl-text").all_text_contents()

    def switch_on(self, plugin: str):
        """Switches a plugin on and gives its part of the page."""
        part = self.page.locator(f"#dl-plugin-{plugin}")
        part.get_by_role("checkbox").first.check()
        part.locator(".dl-settings").wait_for()
        return part

    def settings(self, **values) -> None:
        """Opens the settings and fills them in: Texts, Steps, Seed."""
        if not self.page.get_by_role("spinbutton", name="Steps").is_visible():
            self.page.get_by_role("button", name="Settings").click()
        for label, value in values.items():
            field = self.page.get_by_role("spinbutton", name=label).first
            slider = self.page.get_by_label(f"range slider for {label}")
            for _ in range(30):  # what is typed before the page has come alive is shown, but not known to it
                field.fill(str(value))
                field.blur()
                self.page.wait_for_timeout(100)
                if slider.count() == 0 or slider.input_value() == str(value):
                    break
            else:
                raise AssertionError(f"{label} did not become {value}")


@pytest.fixture
def visit(browser, server):
    """Opens windows; after the test none may have asked elsewhere or raised an error."""
    opened: list[Visit] = []

    def open_page(**settings) -> Visit:
        opened.append(Visit(browser, server.url, **settings))
        return opened[-1]

    yield open_page
    for one in opened:
        elsewhere = [url for url in one.asked if not url.startswith((server.url, "data:", "blob:"))]
        troubles = list(one.troubles)
        one.context.close()
        assert elsewhere == []
        assert troubles == []
