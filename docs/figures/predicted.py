"""Draws predicted.png: the first candidates of `crystalfw predict` for four formulas, in their conventional cells.

python docs/figures/predicted.py        (needs Chromium and Pillow)
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from crystalfw.core.commands.cli import main as crystalfw
from crystalfw.core.geometry.cif import crystal_from_cif
from crystalfw.core.sample.table import read_rows

FORMULAS = ("NaCl", "TiO2", "CaTiO3", "CaF2")
WIDTH, HEIGHT = 1040, 400
STYLE = (
    "body{margin:0;background:#fff;font:15px sans-serif;color:#0f172a;display:flex;justify-content:space-around}"
    "div{width:250px;text-align:center}h3{margin:14px 0 0;font-size:18px}p{margin:2px 0 6px;color:#475569}"
)


def main() -> None:
    """Predict, draw every first candidate, photograph them side by side."""
    with tempfile.TemporaryDirectory() as folder:
        crystalfw(["predict", *FORMULAS, "-n", "1", "-o", f"{folder}/out"])
        cards = []
        for formula, row in zip(FORMULAS, read_rows(f"{folder}/out/samples.csv"), strict=True):
            crystal = crystal_from_cif(crystal_from_cif(row["cif"]).cif(0.1))
            cards.append(f"<div><h3>{formula}</h3><p>{crystal.space_group}</p>{crystal._repr_html_()}</div>")
        page, png = Path(folder) / "page.html", Path(folder) / "page.png"
        page.write_text(f"<meta charset=utf-8><style>{STYLE}</style>{''.join(cards)}", encoding="utf-8")
        browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        places = [f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={png}"]
        subprocess.run([browser, *options, *places, page.as_uri()], check=True, capture_output=True, timeout=300)  # noqa: S603 - our own page
        with Image.open(png) as image:
            image.convert("RGB").quantize(128).save(Path(__file__).with_name("predicted.png"), optimize=True)


if __name__ == "__main__":
    main()
