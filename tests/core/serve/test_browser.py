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
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

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
    assert "Fm-3m (225)" in browser.find_element(By.CSS_SELECTOR, ".facts").text
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
    browser.find_element(By.CSS_SELECTOR, "#decode .try").click()
    wait(browser, ".view[data-drawn]")
    pieces = browser.find_elements(By.CSS_SELECTOR, "#pieces button")
    assert [piece.text for piece in pieces][:3] == ["Na", "Cl", "0 1 --o"]
    pieces[2].click()
    assert "bond from atom 0 (Na) to atom 1 (Cl)" in browser.find_element(By.ID, "says").text


def test_a_training_is_watched_and_another_cancelled(browser: WebDriver) -> None:
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
    go(browser, "generate")
    wait(browser, "select[name=model] option")
