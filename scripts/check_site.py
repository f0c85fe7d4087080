"""Open every page of a built site in headless Chromium, at two widths, and say what is wrong."""

import argparse
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

WIDTHS = (1280, 390)
WIDER = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that does not print what it serves."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def serve(site: Path) -> str:
    """The address at which the site's files are served until the program ends."""
    server = ThreadingHTTPServer(("localhost", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://localhost:{server.server_port}"


def browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = which("chromedriver")
    if driver is None:
        raise SystemExit("Checking the site needs Chromium and chromedriver; install them.")
    return webdriver.Chrome(options, Service(driver))


def faults(chrome: webdriver.Chrome, address: str, width: int) -> list[str]:
    """Errors on the console, missing files among them, and a page wider than the screen."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chrome.get(address)
    found = [one["message"] for one in chrome.get_log("browser") if one["level"] == "SEVERE"]
    wider = chrome.execute_script(WIDER)
    return found + ([f"{wider} pixels wider than the screen"] if wider > 0 else [])


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("site", type=Path)
    arguments.add_argument("--pictures", type=Path, help="a folder for a picture of every page")
    given = arguments.parse_args()
    pages = sorted(page.relative_to(given.site) for page in given.site.rglob("*.html"))
    pages = [page for page in pages if page.parts[0] != "_static"]
    root, chrome, wrong = serve(given.site), browser(), 0
    for page in pages:
        for width in WIDTHS:
            for fault in faults(chrome, f"{root}/{page}", width):
                wrong += 1
                print(f"{page} at {width} pixels: {fault}", file=sys.stderr)
            if given.pictures:
                given.pictures.mkdir(parents=True, exist_ok=True)
                name = f"{'-'.join(page.with_suffix('').parts)}-{width}.png"
                chrome.save_screenshot(str(given.pictures / name))
    chrome.quit()
    print(f"{len(pages)} pages at {' and '.join(map(str, WIDTHS))} pixels: {wrong} faults")
    return int(wrong > 0 or not pages)


if __name__ == "__main__":
    sys.exit(main())
