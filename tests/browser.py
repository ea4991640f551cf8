"""TensorBoard on a free port, and a page of it in headless Chromium.

`python tests/browser.py RUNS FILE.png` takes the picture of it that the README shows.
"""

import shutil
import subprocess
import sys
from contextlib import contextmanager

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def tensorboard(folder):
    """The address at which TensorBoard shows the runs in a folder, as soon as it does."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
    command += ["--port", "0", "--reload_interval", "1"]
    log = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, **log) as process:
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if "http://" in line:
                    yield "http://" + line.partition("http://")[2].split()[0]
                    return
            raise RuntimeError("TensorBoard did not start: " + "".join(said))
        finally:
            process.kill()  # it may swallow a SIGTERM; what it started ends with its stdin


@contextmanager
def browser(width=1280, height=860):
    """A function (address) -> page; pages collect the errors of their scripts in `errors`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )

        def visit(address):
            page = chromium.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(30_000)
            page.errors = []
            page.on("pageerror", lambda error: page.errors.append(str(error)))
            page.goto(address)
            return page

        try:
            yield visit
        finally:
            chromium.close()


if __name__ == "__main__":
    runs, picture = sys.argv[1:]
    with tensorboard(runs) as address, browser(1000, 720) as visit:
        page = visit(f"{address}#custom_scalars&_smoothingWeight=0")
        card = page.locator("tf-custom-scalar-multi-line-chart-card").first
        card.locator("svg path").first.wait_for()
        card.locator("paper-icon-button").first.click()  # as wide as the page
        page.wait_for_timeout(3000)  # until the curves are drawn
        page.screenshot(path=picture, clip={"x": 0, "y": 66, "width": 1000, "height": 534})
