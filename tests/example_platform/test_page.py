"""The page in a real browser: Debian's chromium, headless."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from example_platform.conftest import Platform
from kit.process import PATIENCE

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if BROWSER is None or DRIVER is None:
    pytest.skip("NOT TESTED: the page; chromium and chromium-driver are not installed", allow_module_level=True)

#: What markup would do, if any text were taken for some.
MARKUP = "<img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1100,1100"),
        f"--user-data-dir={tmp_path_factory.mktemp('browser')}",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """The page as somebody who sits before it."""

    def __init__(self, driver: webdriver.Chrome, platform: Platform, tenant: str) -> None:
        self.driver = driver
        driver.get(platform.address)
        self.wait(lambda: driver.execute_script("return document.documentElement.dataset.ready") == "true")
        driver.execute_script("""
            window.heard = [];
            window.addEventListener("module-download-progress", (event) => window.heard.push(event.detail));
            """)
        select = driver.find_element(By.ID, "tenant")
        if select.get_property("value") != tenant:
            select.send_keys(tenant)
        self.editor = driver.find_element(By.ID, "script")

    def wait(self, holds: object) -> None:
        WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05).until(lambda _: holds())  # type: ignore[operator]

    def type(self, script: str) -> None:
        self.editor.clear()
        self.editor.send_keys(script)

    def press(self, action: str) -> str:
        """Presses a button, sees it disabled, waits until it is not, and returns the answer."""
        button = self.driver.find_element(By.CSS_SELECTOR, f"[data-action={action}]")
        # In one step: the answer may be there before another command of the browser is.
        assert self.driver.execute_script("arguments[0].click(); return arguments[0].disabled", button)
        self.wait(lambda: button.is_enabled())
        return self.text("answer")

    def text(self, name: str) -> str:
        return self.driver.find_element(By.ID, name).text


def test_check_install_run_and_what_was_decided(browser: webdriver.Chrome, platform: Platform) -> None:
    page = Page(browser, platform, "one")
    page.type("import fruit\nprint('version', fruit.VERSION)\n")
    assert "is here, or comes" in page.press("check")
    assert "fruit" in page.text("needs")
    assert page.press("install").startswith("Installed: fruit")
    heard = browser.execute_script("return window.heard")
    assert heard and set(heard[-1]) == {"module", "percentage", "bytesDownloaded", "totalBytes"}
    assert (heard[-1]["module"], heard[-1]["percentage"]) == ("fruit", 100)
    assert heard[-1]["bytesDownloaded"] == heard[-1]["totalBytes"] > 0
    assert not browser.find_elements(By.CSS_SELECTOR, "#bars .bar")
    assert page.press("run") == "The script ended with status 0."
    assert page.text("output") == "version 1.0"
    assert "allowed" in page.text("audit")
    picture = os.environ.get("MAGIC_MODULE_SCREENSHOT")
    if picture:
        browser.save_screenshot(str(Path(picture).absolute()))


def test_a_bar_grows_and_goes(browser: webdriver.Chrome, platform: Platform) -> None:
    Page(browser, platform, "one")
    bars = browser.execute_script("""
        const tell = (module, percentage) => window.dispatchEvent(new CustomEvent("module-download-progress",
            { detail: { module, percentage, bytesDownloaded: percentage, totalBytes: 100 } }));
        const bars = () => [...document.querySelectorAll("#bars .bar")].map((bar) =>
            [bar.firstChild.textContent, bar.querySelector("progress").value]);
        const seen = [];
        for (const [module, percentage] of [["alpha", 10], ["beta", 20], ["alpha", 60], ["beta", 100]]) {
            tell(module, percentage);
            seen.push(bars());
        }
        tell("alpha", 100);
        return [...seen, bars()];
        """)
    alpha, both = [["alpha", 10]], [["alpha", 10], ["beta", 20]]
    assert bars == [alpha, both, [["alpha", 60], ["beta", 20]], [["alpha", 60]], []]


def test_a_refusal_names_its_remedy(browser: webdriver.Chrome, platform: Platform) -> None:
    page = Page(browser, platform, "two")
    page.type("import secret\n")
    answer = page.press("install")
    assert "secret" in answer and "policy.allow" in answer and "modules.toml" in answer
    page.wait(lambda: "refused" in page.text("audit"))


def test_no_text_is_taken_for_markup(browser: webdriver.Chrome, platform: Platform) -> None:
    page = Page(browser, platform, "two")
    page.type(f"print({MARKUP!r})\n")
    page.press("run")
    assert page.text("output") == MARKUP
    page.type(f"# /// script\n# dependencies = [{MARKUP!r}]\n# ///\nimport {MARKUP}\n")
    page.press("check")
    page.press("install")
    browser.execute_script(
        """
        const detail = { module: arguments[0], percentage: 5, bytesDownloaded: 5, totalBytes: 100 };
        window.dispatchEvent(new CustomEvent("module-download-progress", { detail }));
        """,
        MARKUP,
    )
    assert MARKUP in page.text("bars")
    assert browser.execute_script("return [document.images.length, window.hacked ?? null]") == [0, None]


def test_it_is_used_by_keyboard_and_on_a_phone(browser: webdriver.Chrome, platform: Platform) -> None:
    browser.set_window_size(500, 900)
    try:
        page = Page(browser, platform, "two")
        page.type("print('by keyboard')\n")
        page.editor.send_keys(Keys.CONTROL, Keys.ENTER)
        page.wait(lambda: page.text("answer") == "The script ended with status 0.")
        assert page.text("output") == "by keyboard"
        focused = []
        for _ in range(3):
            browser.switch_to.active_element.send_keys(Keys.TAB)
            focused.append(browser.switch_to.active_element.get_attribute("data-action"))
        assert focused == ["check", "install", "run"]
        run = browser.switch_to.active_element
        run.send_keys(Keys.ENTER)
        page.wait(run.is_enabled)
        page.wait(lambda: browser.switch_to.active_element == run)
        wide = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1]
    finally:
        browser.set_window_size(1100, 1100)
