"""Draws the pictures of docs/guides/page.md from a running page (Chromium with its driver, selenium, Pillow).

crystalfw serve --no-browser               with runs in its folder, and a prediction and a solved pattern made on the page
python docs/figures/rooms.py ADDRESS predict=JOB solve=JOB generate=JOB     JOB: the end of "Link to this work"
"""

from __future__ import annotations

import base64
import io
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

WAIT, GAP, COLOURS = 300, 24, 256
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader",
             "--enable-unsafe-swiftshader", "--hide-scrollbars")  # fmt: skip


_TIDY = """
window.scrollTo(0, 0);
for (const code of document.querySelectorAll("code")) if (code.textContent.startsWith("/")) code.textContent = "runs";
"""
"""The folder is that of whoever draws."""


class Page:
    """A browser on the page."""

    def __init__(self, address: str) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium") or shutil.which("google-chrome"))
        for argument in ARGUMENTS:
            options.add_argument(argument)
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(shutil.which("chromedriver"))))
        self.home = address.partition("/?")[0]
        self.driver.get(address)

    def wait(self, css: str) -> None:
        """Until there is such an element."""
        WebDriverWait(self.driver, WAIT, 0.3).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, css))

    def click(self, css: str, which: int = 0) -> None:
        """Click one of the elements."""
        self.driver.find_elements(By.CSS_SELECTOR, css)[which].click()

    def shot(self, width: int, height: int, show: Callable[[], None], *, dark: bool = False) -> Image.Image:
        """The top of what `show` opens, standing still."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in media.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        show()
        time.sleep(4)  # pictures of the list
        self.driver.execute_script(_TIDY)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        asked = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        data = self.driver.execute_cdp_cmd("Page.captureScreenshot", asked)["data"]
        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")

    def job(self, id: str) -> None:
        """A finished piece of work."""
        self.driver.get(f"{self.home}/jobs/{id}")
        self.wait(".view[data-drawn]")

    def strings(self) -> None:
        """Rock salt, a bond of it marked."""
        self.driver.get(f"{self.home}/strings")
        self.click("#decode .try")
        self.wait(".view[data-drawn]")
        self.click("#pieces button", 4)

    def runs(self) -> None:
        """The two newest runs compared."""
        self.driver.get(f"{self.home}/runs")
        self.wait("#runs input")
        for which in (0, 1):
            self.click("#runs input", which)
        self.click("#compare")
        self.wait("#shown table")


def save(image: Image.Image, name: str, scale: float = 2 / 3) -> None:
    """Beside this file, small."""
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    small.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=2).save(Path(__file__).with_name(name), optimize=True)


def main() -> None:
    """Write the pictures."""
    address, *pairs = sys.argv[1:]
    jobs = dict(pair.split("=", 1) for pair in pairs)
    page = Page(address)
    try:
        save(page.shot(1200, 1130, lambda: page.job(jobs["predict"])), "page_predict.png")
        save(page.shot(1200, 1250, lambda: page.job(jobs["solve"]), dark=True), "page_solve.png")
        save(page.shot(1200, 1300, lambda: page.job(jobs["generate"])), "page_generate.png")
        save(page.shot(1200, 1250, page.runs, dark=True), "page_runs.png")
        narrow = [page.shot(400, 1500, lambda: page.job(jobs["predict"])), page.shot(400, 1500, page.strings),
                  page.shot(400, 1500, page.runs)]  # fmt: skip
        whole = Image.new("RGB", (400 * 3 + GAP * 2, 1500), "#8b93a1")
        for place, image in enumerate(narrow):
            whole.paste(image, (place * (400 + GAP), 0))
        save(whole, "page_narrow.png")
    finally:
        page.driver.quit()


if __name__ == "__main__":
    main()
