"""Draws report.png: a run's report in light and dark, side by side.

python docs/figures/report.py runs/xattn        (needs Chromium and Pillow)
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from crystalfw.core.evaluate.report import write_report

WIDTH, HEIGHT, SCALE = 1200, 5000, 0.6


def main() -> None:
    """Photograph the page twice and join the pictures."""
    page = write_report(sys.argv[1]).read_text(encoding="utf-8")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    pictures = []
    with tempfile.TemporaryDirectory() as folder:
        for theme in ("light", "dark"):
            html, png = Path(folder) / f"{theme}.html", Path(folder) / f"{theme}.png"
            html.write_text(page.replace('<html lang="en">', f'<html lang="en" data-theme="{theme}">'), encoding="utf-8")
            options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
            places = [f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={png}"]
            command = [browser, *options, *places, html.as_uri()]
            subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603 - our own page
            with Image.open(png) as image:
                size = (int(WIDTH * SCALE), int(HEIGHT * SCALE))
                pictures.append(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    both = Image.new("RGB", (2 * pictures[0].width, pictures[0].height))
    for index, picture in enumerate(pictures):
        both.paste(picture, (index * picture.width, 0))
    both.quantize(128).save(Path(__file__).with_name("report.png"), optimize=True)


if __name__ == "__main__":
    main()
