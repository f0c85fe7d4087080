"""Draw the picture of ``ergodual app`` that the README shows: docs/_static/app.png."""

import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from check_site import browser
from PIL import Image
from selenium import webdriver

from ergodual.speech.convert import quantize_file
from ergodual.speech.corpora import find_audio, synthetic_speech
from ergodual.speech.quantizers import mid_tread, mu_law

PICTURE = Path(__file__).parents[1] / "docs" / "_static" / "app.png"
WIDTH, HEIGHT, COLOURS = 860, 1900, 64
MOST = 150_000
"""Bytes."""


def main() -> None:
    """Two recordings, restored."""
    command = [sys.executable, "-m", "ergodual", "app", "--no-browser"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as app,
    ):
        files = [Path(folder, "interview.wav"), Path(folder, "telephone.wav")]
        for file, speech, quantizer in zip(
            files, find_audio(synthetic_speech()), (mid_tread(4), mu_law()), strict=False
        ):
            quantize_file(speech, file, quantizer, normalize=True)
        chrome = browser()
        try:
            assert app.stdout is not None
            chrome.set_window_size(WIDTH, HEIGHT)
            chrome.get(app.stdout.readline().split(" ")[0])
            element(chrome, "#recordings input[type=file]").send_keys("\n".join(map(str, files)))
            element(chrome, "#restore:enabled").click()
            element(chrome, "#picture img")
            time.sleep(3)  # players draw their waves
            pixels = chrome.get_screenshot_as_png()
            below = chrome.execute_script(
                "return document.querySelector('#picture').getBoundingClientRect().bottom"
            )
        finally:
            chrome.quit()
            app.terminate()
    picture = Image.open(io.BytesIO(pixels)).convert("RGB").crop((0, 0, WIDTH, int(below) + 16))
    picture.quantize(COLOURS).save(PICTURE, optimize=True)
    size = PICTURE.stat().st_size
    print(f"{PICTURE}: {size} bytes")
    if size > MOST:
        raise SystemExit(f"{PICTURE} has more than {MOST} bytes; take fewer COLOURS.")


def element(chrome: webdriver.Chrome, selector: str) -> webdriver.remote.webelement.WebElement:
    """Once it is there."""
    for _ in range(600):
        found = chrome.find_elements("css selector", selector)
        if found:
            return found[0]
        time.sleep(0.1)
    raise SystemExit(f"The page has no {selector}.")


if __name__ == "__main__":
    main()
