"""The rooms in a real browser: work is done, watched and cancelled, a crystal turned, nothing leaves the page.

Chromium and its driver come from the system (Debian: chromium, chromium-driver); without them the tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import Select, WebDriverWait

from crystalfw.core.commands.cli import main
from crystalfw.core.crystal import Crystal

BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="no browser: apt-get install chromium chromium-driver"),
]
WAIT = 240
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,1400", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--force-prefers-reduced-motion",
)  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    runs = tmp_path_factory.mktemp("page") / "runs"
    command = [sys.executable, "-m", "crystalfw.core.commands.cli", "serve", "--runs", str(runs), "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    yield process.stdout.readline().split()[-1]
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    process.stdout.close()
    assert process.returncode == 0


@pytest.fixture
def browser(address: str) -> Iterator[WebDriver]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    driver.set_page_load_timeout(WAIT)
    driver.get(address)
    yield driver
    quiet(driver, address)
    driver.quit()


def quiet(driver: WebDriver, address: str) -> None:
    """No error on the console, and no request to anywhere else."""
    errors = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert [error for error in errors if "422" not in error and "400" not in error] == []
    home = address.split("/?")[0]
    asked = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in asked if event["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith((home, "data:", "blob:", "chrome:"))] == []


def wait(driver: WebDriver, css: str) -> None:
    WebDriverWait(driver, WAIT, 0.3).until(lambda d: d.find_elements(By.CSS_SELECTOR, css))


def said(driver: WebDriver, css: str) -> str:
    """The text of an element as it is copied: with the signs that a bar or a subscript stands for."""
    return str(driver.find_element(By.CSS_SELECTOR, css).get_attribute("textContent"))


def salt(folder: Path) -> Path:
    """Rock salt as a CIF file."""
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    Crystal.from_structure(structure.get_primitive_structure()).write(folder / "NaCl.cif")
    return folder / "NaCl.cif"


def go(driver: WebDriver, room: str) -> None:
    driver.get(driver.current_url.split("/", 3)[0] + "//" + driver.current_url.split("/", 3)[2] + f"/{room}")


def test_a_prediction_and_a_turned_crystal(browser: WebDriver) -> None:
    composition = browser.switch_to.active_element
    assert composition.get_attribute("name") == "formulas"
    composition.clear()
    composition.send_keys("NaCl" + Keys.ENTER)  # keyboard only
    wait(browser, "#job[data-state=done]")
    wait(browser, ".view[data-drawn]")
    assert "NaCl" in browser.find_element(By.CSS_SELECTOR, ".list li").text
    assert "Fm-3m (225)" in said(browser, ".facts")
    before = browser.execute_script("return document.querySelector('.view canvas').toDataURL()")
    browser.find_element(By.CSS_SELECTOR, ".view").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP)
    assert browser.execute_script("return document.querySelector('.view canvas').toDataURL()") != before


def test_a_mistake_is_a_sentence(browser: WebDriver) -> None:
    field = browser.find_element(By.NAME, "formulas")
    field.clear()
    field.send_keys("Na$Cl" + Keys.ENTER)
    wait(browser, "#toast.shown")
    assert "'Na$Cl' is not a formula" in str(browser.find_element(By.ID, "toast").get_attribute("textContent"))


def test_a_refused_upload(browser: WebDriver, tmp_path: Path) -> None:
    table = tmp_path / "wrong.csv"
    table.write_text("a,b\n1,2\n")
    browser.find_element(By.NAME, "table").send_keys(str(table))
    browser.find_element(By.CSS_SELECTOR, "#form button.primary").click()
    wait(browser, "#job[data-state=failed]")
    assert "composition" in browser.find_element(By.CSS_SELECTOR, ".problem").text


def test_a_string_piece_by_piece(browser: WebDriver) -> None:
    go(browser, "strings")
    assert not browser.find_element(By.ID, "result").is_displayed(), "nothing to see before something was asked"
    browser.find_element(By.CSS_SELECTOR, "#decode .try").click()
    wait(browser, ".view[data-drawn]")
    pieces = browser.find_elements(By.CSS_SELECTOR, "#pieces button")
    assert [piece.text for piece in pieces][:3] == ["Na", "Cl", "0 1 --o"]
    pieces[2].click()
    assert "bond from atom 0 (Na) to atom 1 (Cl)" in browser.find_element(By.ID, "says").text
    browser.find_element(By.CSS_SELECTOR, "#encode .try").click()
    WebDriverWait(browser, WAIT, 0.3).until(lambda d: d.find_element(By.CSS_SELECTOR, "#pieces").text.startswith("O"))
    WebDriverWait(browser, WAIT, 0.3).until(lambda d: "(136)" in said(d, ".facts"))


def test_a_pattern_is_solved(browser: WebDriver, tmp_path: Path) -> None:
    assert main(["pattern", str(salt(tmp_path)), "-o", str(tmp_path / "NaCl.xy")]) == 0
    go(browser, "solve")
    browser.find_element(By.NAME, "pattern").send_keys(str(tmp_path / "NaCl.xy"))
    browser.find_element(By.NAME, "symbols").send_keys("Na, Cl")
    browser.find_element(By.NAME, "formula").send_keys("NaCl")
    assert browser.find_element(By.NAME, "symbols").get_attribute("value") == "", "the formula stands instead"
    browser.find_element(By.CSS_SELECTOR, ".same summary").click()
    shown = browser.find_element(By.ID, "same-command")
    WebDriverWait(browser, WAIT, 0.3).until(lambda d: "crystalfw solve NaCl.xy --formula NaCl" in shown.text)
    browser.find_element(By.CSS_SELECTOR, "#form button.primary").click()
    wait(browser, "svg.chart.fit path")
    assert "NaCl" in browser.find_element(By.CSS_SELECTOR, ".list li").text
    assert "Fm-3m (225)" in said(browser, ".facts")


def test_a_pattern_that_is_none_is_refused(browser: WebDriver, tmp_path: Path) -> None:
    (tmp_path / "wrong.xy").write_text("this is no pattern\n")
    go(browser, "solve")
    browser.find_element(By.NAME, "pattern").send_keys(str(tmp_path / "wrong.xy"))
    browser.find_element(By.NAME, "formula").send_keys("NaCl" + Keys.ENTER)
    wait(browser, "#job[data-state=failed]")
    assert "wrong.xy" in browser.find_element(By.CSS_SELECTOR, ".problem").text


@pytest.mark.parametrize("room", ["predict", "solve", "generate", "strings", "runs"])
def test_a_room_on_a_narrow_screen(browser: WebDriver, room: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    go(browser, room)
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= 400, "nothing makes the page scroll sideways"
    last = browser.find_elements(By.CSS_SELECTOR, "nav a")[-1]
    assert last.rect["x"] + last.rect["width"] <= 400, "all rooms can be reached"


def test_the_rooms_by_keyboard_alone(browser: WebDriver) -> None:
    go(browser, "runs")
    seen = []
    for _ in range(9):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        focused = browser.switch_to.active_element
        seen.append(focused.text or focused.get_attribute("name") or "")
        outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"{seen[-1]}: where the keyboard is can be seen"
    assert seen[0] == "Skip to the content"
    assert seen[2:7] == ["Predict", "Solve", "Generate", "Strings", "Runs"]
    assert browser.switch_to.active_element.get_attribute("name") == "recipe"
    browser.find_elements(By.CSS_SELECTOR, "nav a")[1].send_keys(Keys.ENTER)
    WebDriverWait(browser, WAIT, 0.3).until(lambda d: d.current_url.endswith("/solve"))


def test_the_theme_is_kept(browser: WebDriver) -> None:
    browser.find_element(By.ID, "theme").click()
    chosen = browser.find_element(By.TAG_NAME, "html").get_attribute("data-theme")
    assert chosen in ("light", "dark")
    go(browser, "runs")
    assert browser.find_element(By.TAG_NAME, "html").get_attribute("data-theme") == chosen


def test_a_training_is_watched_and_another_cancelled(browser: WebDriver, tmp_path: Path) -> None:
    go(browser, "runs")
    browser.find_element(By.NAME, "steps").send_keys("20")
    browser.find_element(By.CSS_SELECTOR, "#form button.primary").click()
    wait(browser, "#job[data-state=done]")
    wait(browser, "#job svg.chart path")
    browser.find_element(By.NAME, "steps").send_keys("0000")
    browser.find_element(By.CSS_SELECTOR, "#form button.primary").click()
    wait(browser, "#job[data-state=running]")
    browser.find_element(By.CSS_SELECTOR, "#job .tools button").click()
    wait(browser, "#job[data-state=cancelled]")
    go(browser, "runs")
    wait(browser, "#runs input[type=checkbox]")
    boxes = "#runs input[type=checkbox]"
    for which in range(min(2, len(browser.find_elements(By.CSS_SELECTOR, boxes)))):
        browser.execute_script(f"document.querySelectorAll('{boxes}')[{which}].click()")  # the list may just be made anew
    if len(browser.find_elements(By.CSS_SELECTOR, boxes)) > 1:  # the second may have been cancelled before it had a folder
        browser.find_element(By.ID, "compare").click()
        wait(browser, "#shown table")
        assert "fit.steps" in browser.find_element(By.ID, "shown").text
    crystals_of_the_trained_model(browser, salt(tmp_path))


def crystals_of_the_trained_model(browser: WebDriver, crystal: Path) -> None:
    """Asks the run for samples: all of them are counted, whatever becomes of them."""
    go(browser, "generate")
    wait(browser, "select[name=model] option")
    menu = Select(browser.find_element(By.NAME, "model"))
    menu.select_by_visible_text(next(o.text for o in menu.options if "trained here" in o.text))
    enabled = "#form button.primary:not([disabled])"
    WebDriverWait(browser, WAIT, 0.3).until(
        lambda d: "Trained on cells" in d.find_element(By.ID, "model-says").text and d.find_elements(By.CSS_SELECTOR, enabled)
    )
    wait(browser, "#conditions input[type=file]")  # smoke is conditioned on whole crystals
    browser.find_element(By.CSS_SELECTOR, "#conditions input[type=file]").send_keys(str(crystal))
    many = browser.find_element(By.NAME, "n")
    many.clear()
    many.send_keys("3")
    browser.find_element(By.CSS_SELECTOR, enabled).click()
    wait(browser, "#job[data-state=done]")
    WebDriverWait(browser, WAIT, 0.3).until(
        lambda d: [n.text for n in d.find_elements(By.CSS_SELECTOR, ".funnel .n")][:1] == ["3"]
    )
