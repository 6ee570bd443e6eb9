"""Draws pictures of pages for docs/results/pages.md: two pages side by side, or one page light, dark and 400 px wide.

python docs/figures/pages.py pages_run.png BEFORE.html AFTER.html [height]      (needs Chromium and Pillow)
python docs/figures/pages.py pages_looks.png PAGE.html [height]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, NARROW, GAP = 1100, 400, 24


def main() -> None:
    """Write the picture beside this file."""
    out, *pages = sys.argv[1:]
    height = int(pages.pop()) if pages[-1].isdigit() else 1500
    texts = [Path(page).read_text(encoding="utf-8") for page in pages]
    if len(texts) == 1:
        dark = texts[0].replace('<html lang="en">', '<html lang="en" data-theme="dark">', 1)
        shots = [shot(texts[0], WIDTH, height), shot(dark, WIDTH, height), shot(texts[0], NARROW, height)]
    else:
        shots = [shot(text, WIDTH, height) for text in texts]
    whole = Image.new("RGB", (sum(item.width for item in shots) + GAP * (len(shots) - 1), height), "#8b93a1")
    left = 0
    for item in shots:
        whole.paste(item, (left, 0))
        left += item.width + GAP
    small = whole.resize((whole.width * 2 // 3, whole.height * 2 // 3), Image.Resampling.LANCZOS)
    small.quantize(256).save(Path(__file__).with_name(out), optimize=True)


def shot(page: str, width: int, height: int) -> Image.Image:
    """The top of a page in a frame of this width, since Chromium's own window is never narrower than 500 px."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder:
        frame, picture = Path(folder) / "frame.html", Path(folder) / "page.png"
        (Path(folder) / "page.html").write_text(page, encoding="utf-8")
        frame.write_text(f'<body style="margin:0"><iframe src="page.html" style="border:0;width:{width}px;height:{height}px">')
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/profile",
            f"--screenshot={picture}", f"--window-size={width},{height}", frame.as_uri(),
        ]  # fmt: skip
        subprocess.run([browser, *options], check=True, capture_output=True, timeout=120)  # noqa: S603 - our own page
        return Image.open(picture).convert("RGB").crop((0, 0, width, height))


if __name__ == "__main__":
    main()
