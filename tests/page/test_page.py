"""The page in a real browser, against the real server and a real library."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_library import TAUGHT, Shown, faults_of, make_library, wait_until
from samples import footage
from server import serve
from surroundings import browser_path, lacking
from video_factory import HEIGHT, WIDTH, moving, read_stamp, write_video

from indexer.ingest.pipeline import IngestOptions, ingest
from search.library import Library

pytestmark = pytest.mark.browser
VIDEO = "document.querySelector('#player-video')"
# What the player shows, red, green, blue and alpha, at the size of the made videos.
PICTURE = f"""(() => {{
    const [canvas, video] = [document.createElement("canvas"), {VIDEO}];
    [canvas.width, canvas.height] = [{WIDTH}, {HEIGHT}];
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, {WIDTH}, {HEIGHT});
    return [...context.getImageData(0, 0, {WIDTH}, {HEIGHT}).data];
}})()"""
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    archive, folder = tmp_path_factory.mktemp("archive"), tmp_path_factory.mktemp("library")
    videos = make_library(archive, folder)
    with serve(folder) as address:
        yield Shown(address, archive, folder, videos)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        lacking("browser", "the playwright package is not installed")
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        # Root in a container has no sandbox to give.
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, shown: Shown) -> Iterator[Any]:
    """The page; the test fails on any script error, policy violation or request elsewhere."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    faults = faults_of(page, shown.address)
    page.goto(shown.address)
    yield page
    context.close()
    assert faults == []


def look_for(page: Any, words: str) -> None:
    page.fill("#words", words)
    page.locator("#words").press("Enter")
    page.locator(".card").first.wait_for()


def first(page: Any, name: str) -> Any:
    return page.locator(".card", has=page.get_by_text(name, exact=True)).first


def now(page: Any) -> float:
    return page.evaluate(f"{VIDEO}.currentTime")


def drop(page: Any, file: Path, kind: str) -> None:
    """Drops a file on the page, as a file browser would."""
    transfer = page.evaluate_handle(
        """([content, name, type]) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type }));
            return transfer;
        }""",
        [base64.b64encode(file.read_bytes()).decode(), file.name, kind],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("body", event, {"dataTransfer": transfer})


# --- searching ---------------------------------------------------------------------------------


def test_words_find_and_a_click_plays_from_the_moment(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#holdings")).to_contain_text("6 videos")
    expect(page.locator("#home-videos li")).to_have_count(6)
    page.keyboard.type("mountain bikes in the street")  # the box has the focus
    page.select_option("#f-group", "clip")
    page.locator("#words").press("Enter")
    expect(page.locator(".card .name").first).to_have_text("street.mp4")
    expect(page.locator(".card .score").first).to_contain_text(
        re.compile(r"(Match|Maybe|Unlikely)\s*0\.\d{3}")
    )
    expect(page).to_have_url(re.compile(r"q=mountain\+bikes"))
    later = first(page, "street.mp4").and_(page.locator(".card").filter(has_not_text="0:00.0 –"))
    start = float(later.locator(".time").text_content().split(" – ")[0].removeprefix("0:"))
    assert start > 0
    later.locator(".still").click()
    wait_until(page, f"{VIDEO}.readyState >= 2")
    assert start - 0.1 <= now(page) < start + 5
    expect(page).to_have_url(re.compile(rf"v={shown.videos['street.mp4']}&t="))
    expect(page.locator("#legend")).to_contain_text("where the query matches")
    assert page.locator(".t-curve path.all").get_attribute("d").count("L") > 5
    page.go_back()
    expect(page.locator("#player")).to_be_hidden()
    expect(page.locator(".card .name").first).to_have_text("street.mp4")  # Back left the player only
    page.reload()
    expect(page.locator(".card .name").first).to_have_text("street.mp4")
    expect(page.locator("#words")).to_have_value("mountain bikes in the street")


def test_fifty_hits_are_painted_soon_after_the_answer(page: Any) -> None:
    page.select_option("#f-group", "clip")
    for number, words in enumerate(("a street", "a rabbit", "a cat"), start=1):
        look_for(page, words)
        wait_until(page, f"performance.getEntriesByName('reelseek-paint').length === {number}")
    assert int(page.locator(".card").first.get_attribute("aria-setsize")) >= 50
    # The best of three: other programs may want the processor too.
    paints = page.evaluate("performance.getEntriesByName('reelseek-paint').map((one) => one.duration)")
    assert min(paints) < 200


def test_ten_thousand_hits_keep_a_few_cards_in_the_document(page: Any, shown: Shown) -> None:
    """Real hits, repeated, since a library of that size takes long to make."""
    body = {"query": [{"text": "a street"}], "limit": 60}
    document = page.request.post(f"{shown.address}/v1/search", data=body).json()

    def answer(route: Any) -> None:
        limit = json.loads(route.request.post_data)["limit"]
        route.fulfill(json={**document, "hits": (document["hits"] * 200)[:limit]})

    page.route("**/v1/search", answer)
    look_for(page, "a road")
    last = "[...document.querySelectorAll('.card')].at(-1).ariaPosInSet === '10000'"
    wait_until(page, f"(scrollTo(0, document.documentElement.scrollHeight), {last})")
    assert page.locator(".card").last.get_attribute("aria-posinset") == "10000"
    assert page.locator(".card").count() < 150


def test_an_example_is_dropped_kept_over_a_reload_and_taken_back(page: Any) -> None:
    from playwright.sync_api import expect

    drop(page, footage("bigbuckbunny.mp4"), "video/mp4")
    expect(page.locator(".part")).to_contain_text("bigbuckbunny.mp4")
    expect(page.locator(".card .name").first).to_have_text("rabbit.mp4", timeout=30_000)
    expect(page.locator(".card .score").first).to_contain_text("Nearly the same")
    page.reload()
    expect(page.locator(".part")).to_contain_text("bigbuckbunny.mp4")
    expect(page.locator(".card .name").first).to_have_text("rabbit.mp4", timeout=30_000)
    page.get_by_label("Remove: like bigbuckbunny.mp4").click()
    expect(page.locator(".card")).to_have_count(0)


def test_more_like_this_and_not_like_this_by_drag(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.goto(f"{shown.address}/?q=a+rabbit&group=video")
    page.locator(".card").first.wait_for()
    first(page, "street.mp4").locator(".like").click()
    expect(page.locator(".part.like")).to_contain_text("street.mp4")
    expect(page.locator(".card .name").first).to_have_text("street.mp4")
    before = page.locator(".card .number").first.text_content()
    box = first(page, "rabbit.mp4").locator(".still").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 90, steps=4)
    zone = page.locator(".zone.unlike")
    zone.wait_for()
    target = zone.bounding_box()
    page.mouse.move(target["x"] + 50, target["y"] + 40, steps=4)
    page.mouse.up()
    expect(page.locator(".part.unlike")).to_contain_text("rabbit.mp4")
    expect(page.locator("#zones")).to_be_hidden()
    expect(page.locator(".card .number").first).not_to_have_text(before)
    page.reload()
    expect(page.locator(".part.unlike")).to_contain_text("rabbit.mp4")


def test_an_action_filters_and_nothing_is_said_clearly(page: Any) -> None:
    from playwright.sync_api import expect

    look_for(page, "an animal")
    page.fill("#f-action", TAUGHT)
    page.locator("#f-action").press("Enter")
    expect(page.locator(".card .name").first).to_contain_text("cat")
    expect(page.locator(".card .chip").first).to_contain_text(TAUGHT)
    # Cats came first before the filter, too: it is there when nothing else is.
    expect(page.locator(".card .name").filter(has_not_text="cat")).to_have_count(0)
    assert page.locator(".card .name").count() > 0
    page.fill("#words", "")
    page.locator("#words").press("Enter")  # the action alone
    expect(page.locator(".card .chip").first).to_contain_text(TAUGHT)
    page.click("#filters-clear")
    look_for(page, "a volcano erupting")
    expect(page.locator("#message")).to_contain_text("Nothing here looks like that")
    page.fill("#f-min", "3600")
    page.locator("#f-min").press("Enter")
    expect(page.locator("#message")).to_contain_text("no clip passes the filters")


def test_filters_alone_list_clips_and_wrong_ones_are_named(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.goto(f"{shown.address}/?prefix={shown.archive}/street*")
    expect(page.locator(".card .name").first).to_have_text("street.mp4")
    expect(page.locator("#message")).to_contain_text(re.compile(r"\d+ clips pass the filters"))
    assert page.locator(".card .score").count() == 0
    page.fill("#f-min", "5")
    page.fill("#f-max", "2")
    page.locator("#f-max").blur()
    expect(page.locator("#filters-fault")).to_contain_text("No clip lasts 5 s or more and 2 s or less")
    expect(page.locator("#f-min")).to_have_attribute("aria-invalid", "true")
    page.goto(f"{shown.address}/?min=-1")
    expect(page.locator("#filters-fault")).to_contain_text("less than 0 s")


def test_what_a_link_asks_for_in_vain_is_said(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.goto(f"{shown.address}/?q=rabbit&example=elsewhere&like=99999&min=abc")
    expect(page.locator(".card").first).to_be_visible()
    notice = page.locator("#form-notice")
    expect(notice).to_contain_text("not kept in this browser")
    expect(notice).to_contain_text("like=99999, min=abc")
    page.get_by_label("Remove: like a file that").click()
    expect(notice).to_be_hidden()
    page.evaluate(
        """() => {
            const transfer = new DataTransfer();
            transfer.setData("text/uri-list", "https://example.org/cat.jpg");
            const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new DragEvent("drop", options));
        }"""
    )
    expect(notice).to_contain_text("A link cannot be searched by")


# --- the player --------------------------------------------------------------------------------


def test_a_link_opens_the_player_at_the_moment(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.goto(f"{shown.address}/?v={shown.videos['street.mp4']}&t=4.5")
    expect(page.locator("#player-name")).to_have_text("street.mp4")
    wait_until(page, f"{VIDEO}.readyState >= 2")
    assert 4.4 <= now(page) < 6
    page.evaluate(f"{VIDEO}.pause()")
    page.keyboard.press("Home")
    wait_until(page, f"{VIDEO}.currentTime === 0 && !{VIDEO}.seeking")
    page.click("#player-link")
    expect(page.locator("#player-said")).to_contain_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{shown.address}/?v={shown.videos['street.mp4']}&t=0"
    page.keyboard.press("Escape")
    expect(page.locator("#player")).to_be_hidden()
    assert page.url == f"{shown.address}/"


def test_the_timeline_seeks_marks_and_cuts(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.goto(f"{shown.address}/?v={shown.videos['cat.mp4']}&t=0")
    expect(page.locator("#legend")).to_contain_text(TAUGHT)
    assert page.locator(".segment").count() > 0
    line = page.locator("#timeline").bounding_box()
    page.mouse.click(line["x"] + line["width"] / 2, line["y"] + 8)
    wait_until(page, f"Math.abs({VIDEO}.currentTime - 3) < 0.5")
    page.mouse.move(line["x"] + line["width"] / 6, line["y"] + 8)
    expect(page.locator(".t-peek .cell")).to_be_visible()
    page.mouse.down()
    page.mouse.move(line["x"] + line["width"] / 2, line["y"] + 8, steps=5)
    page.mouse.up()
    expect(page.locator("#span-start")).to_have_value("1.0")
    expect(page.locator("#span-end")).to_have_value("3.0")
    with page.expect_download() as download:
        page.click("#span-cut")
    assert download.value.suggested_filename.endswith(".mp4")
    assert Path(download.value.path()).stat().st_size > 1000


def test_two_spans_teach_an_action(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.goto(f"{shown.address}/?v={shown.videos['cat mirrored.mp4']}&t=0")
    page.locator(".t-shots .shot").first.wait_for(state="attached")
    page.fill("#teach-name", "staring")
    for start, end in ((0.0, 2.6), (2.8, 5.8)):
        page.evaluate(f"{VIDEO}.pause()")
        mark(page, start, "i")
        mark(page, end, "o")
        expect(page.locator("#span-start")).to_have_value(f"{start:.1f}")
        page.click("#teach-yes")
    expect(page.locator("#teach-spans li")).to_have_count(2)
    page.click("#teach-go")
    # Of one video nothing can be held out: it is kept as a draft.
    expect(page.locator("#teach-said")).to_contain_text("A draft of “staring”", timeout=60_000)
    page.locator("#teach-said a").click()
    expect(page.locator(".action-title h2")).to_have_text("staring")
    expect(page.locator("#view-actions .measures")).to_contain_text("Precision")


def mark(page: Any, seconds: float, key: str) -> None:
    page.evaluate(f"{VIDEO}.currentTime = {seconds}")
    wait_until(page, f"!{VIDEO}.seeking")
    page.locator("#timeline").focus()
    page.keyboard.press(key)


# --- where it fails ----------------------------------------------------------------------------


def test_a_file_that_moved_away_says_so(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.goto(f"{shown.address}/?q=a+man&prefix={shown.archive}/car*")
    page.locator(".card .still").first.click()
    expect(page.locator("#player-lost")).to_contain_text("The file is not there")
    expect(page.locator("#player-lost")).to_contain_text("missing")
    expect(page.locator("#player-lost img").first).to_be_visible()  # its key frames are stored


def test_what_is_no_video_offers_nothing(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.goto(f"{shown.address}/?v=99999")
    expect(page.locator("#player-name")).to_have_text("No such video")
    expect(page.locator("#player-link")).to_be_hidden()
    page.goto(f"{shown.address}/?v={shown.videos['broken.mp4']}")
    expect(page.locator("#player-lost")).to_contain_text("moov")
    expect(page.locator("#timeline")).to_be_hidden()
    assert page.goto(f"{shown.address}/nosuch").status == 404
    expect(page.locator("h1")).to_have_text("There is nothing at this address")


def test_what_the_browser_cannot_play_is_converted(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.goto(f"{shown.address}/?v={shown.videos['coffee.avi']}&t=3")
    expect(page.locator("#player-notice")).to_contain_text("converted preview")
    wait_until(page, f"{VIDEO}.readyState >= 2")
    assert "/preview?start_seconds=1.000" in page.evaluate(f"{VIDEO}.currentSrc")
    assert abs(now(page) - 2) < 1.5  # 3 s of the file
    expect(page.locator("#player-clock")).to_contain_text(re.compile(r"0:0[34]"))


def test_the_original_gets_a_second_chance(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    asked: list[str] = []

    def stumble(route: Any) -> None:
        is_footage = route.request.resource_type == "media"  # and not the page, which asks why
        asked.extend([route.request.url] if is_footage else [])
        if is_footage and len(asked) <= refused:
            route.fulfill(body=b"no film", content_type="video/mp4")
        else:
            route.continue_()

    refused = 1
    page.route("**/v1/videos/*/file", stumble)
    page.goto(f"{shown.address}/?v={shown.videos['street.mp4']}&t=4.5")
    wait_until(page, f"{VIDEO}.readyState >= 2")
    assert 4.4 <= now(page) < 6
    assert page.evaluate(f"{VIDEO}.currentSrc").endswith("/file")
    expect(page.locator("#player-notice")).to_be_hidden()
    asked.clear()
    refused = 2
    page.goto(f"{shown.address}/?v={shown.videos['street.mp4']}&t=4.5")
    expect(page.locator("#player-notice")).to_contain_text("plays", timeout=20_000)
    expect(page.locator("#player-clock")).to_contain_text(re.compile(r"0:0[4-7]"))
    page.get_by_role("button", name="Try the original").click()
    wait_until(page, f"{VIDEO}.readyState >= 2 && {VIDEO}.currentSrc.includes('/file')")
    assert now(page) > 4


def test_spans_stay_inside_the_video(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.goto(f"{shown.address}/?v={shown.videos['cat.mp4']}&t=0")
    page.locator("#legend button").first.wait_for()
    page.evaluate(f"{VIDEO}.pause()")
    page.keyboard.press("End")
    page.keyboard.press("i")
    expect(page.locator("#span-said")).to_contain_text("Here the video ends")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("i")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("o")
    expect(page.locator("#span-start")).to_have_value("5.0")
    expect(page.locator("#span-end")).to_have_value("6.0")
    page.fill("#span-end", "20")
    page.locator("#span-end").blur()
    expect(page.locator("#span-said")).to_contain_text("from 0.0 to 6.0 s")
    expect(page.locator("#span-end")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#span-cut")).to_be_hidden()
    page.fill("#span-end", "1")
    page.locator("#span-end").blur()
    expect(page.locator("#span-said")).to_contain_text("ends after it begins")
    page.fill("#span-end", "5.5")
    page.locator("#span-end").blur()
    expect(page.locator("#span-cut")).to_be_visible()


def test_a_server_that_is_gone_says_so_and_may_come_back(page: Any) -> None:
    from playwright.sync_api import expect

    look_for(page, "a rabbit")
    page.context.set_offline(True)
    page.fill("#words", "a street")
    page.keyboard.press("Enter")
    expect(page.locator("#message.problem")).to_contain_text("The server does not answer")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    page.context.set_offline(False)  # found out without a press
    expect(page.locator(".card .name").first).to_have_text("street.mp4")


# --- the other views ---------------------------------------------------------------------------


def test_the_library_shows_what_failed_and_indexes_live(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.goto(f"{shown.address}/#/library")
    expect(page.locator(".video")).to_have_count(7)
    wait_until(page, "[...document.querySelectorAll('.storyboard')].some((image) => image.naturalWidth > 0)")
    page.locator(".tab", has_text="Failed").click()
    expect(page.locator(".video")).to_have_count(1)
    expect(page.locator(".video .reason")).to_contain_text("moov")
    added = shown.archive.parent / "added"
    added.mkdir()
    shutil.copy(footage("carphone_distorted.mp4"), added / "later.mp4")
    (added / "torn.mp4").write_bytes((footage("bikes.mp4")).read_bytes()[:9_000])
    page.fill("#ingest-path", str(added))
    page.keyboard.press("Enter")
    expect(page.locator(".job.done", has_text="Indexing")).to_contain_text("1 indexed", timeout=30_000)
    expect(page.locator(".job.done", has_text="Indexing")).to_contain_text(
        re.compile(r"1 failed.*torn\.mp4: ", re.DOTALL)
    )
    expect(page.locator("#holdings")).to_contain_text("7 videos")
    page.get_by_label("Dismiss: Indexing").click()
    expect(page.locator(".job", has_text="Indexing")).to_have_count(0)


def test_actions_are_confirmed_and_rejected(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.click("nav a[data-view='actions']")
    row = page.locator(".action", has_text=TAUGHT)
    expect(row).to_contain_text("Precision")
    row.get_by_role("link", name="Review").click()
    expect(page.locator(".tiles .tile .still img").first).to_be_visible()
    judged = page.locator(".tiles").first.locator(".tile").first
    judged.get_by_role("button", name="Confirm").click()
    expect(judged.locator(".said")).to_contain_text("Confirmed")
    judged.get_by_role("button", name="Undo").click()
    expect(judged.locator(".said")).to_have_text("Taken back.")
    page.locator(".tiles").first.locator(".tile").first.locator(".still").click()
    expect(page.locator("#seen")).to_contain_text(TAUGHT)


# --- everybody ---------------------------------------------------------------------------------


def test_the_keyboard_alone_searches_plays_and_marks(page: Any) -> None:
    from playwright.sync_api import expect

    page.keyboard.type("a rabbit")
    page.keyboard.press("Enter")
    page.locator(".card").first.wait_for()
    for _ in range(20):  # past the button, the filters and whatever else is on the way
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.card .still')"):
            break
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('.card').ariaPosInSet") == "2"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#timeline")).to_be_focused()
    wait_until(page, f"{VIDEO}.readyState >= 2")
    page.keyboard.press("k")
    page.keyboard.press("Home")
    page.keyboard.press("i")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("o")
    expect(page.locator("#span-end")).to_have_value("2.0")
    page.keyboard.press("Escape")
    expect(page.locator("#player")).to_be_hidden()
    assert page.evaluate("document.activeElement.closest('.card').ariaPosInSet") == "1"


def test_it_fits_a_phone(page: Any, shown: Shown) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 320, "height": 640})
    look_for(page, "a rabbit")
    with page.expect_response("**/v1/search"):
        page.locator(".like").first.click()
    page.locator(".part").wait_for()
    # A click on a hit that is replaced between press and release would be lost.
    expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")
    widths = [page.evaluate("document.documentElement.scrollWidth")]
    page.locator(".card .still").first.click()
    page.locator("#legend li").first.wait_for()
    widths.append(page.evaluate("document.querySelector('#player').scrollWidth"))
    for view in ("library", "actions"):
        page.goto(f"{shown.address}/?view={view}")
        page.locator(".video, .action").first.wait_for()
        widths.append(page.evaluate("document.documentElement.scrollWidth"))
    assert max(widths) <= 320


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(browser: Any, shown: Shown, scheme: str) -> None:
    axe_package = pytest.importorskip("axe_playwright_python.sync_playwright")
    axe = axe_package.Axe()
    cat = shown.videos["cat.mp4"]
    views = {
        "/": "#home-videos li",
        "/?q=a+cat": ".card .name",
        f"/?action={TAUGHT.replace(' ', '+')}": ".chip",
        "/?q=a+volcano+erupting": "#message.nothing",
        f"/?q=a+cat&v={cat}&t=1": "#legend button",
        f"/?v={shown.videos['car.mp4']}&t=1": "#player-lost img",
        "/?view=library": ".video",
        "/?view=library&show=failed": ".video .reason",
        "/?view=actions": ".action",
        f"/?view=actions&name={TAUGHT.replace(' ', '+')}": ".tile .judging",
    }
    # The tool is written into the page, which our policy forbids to everybody else.
    context = browser.new_context(color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    page = context.new_page()
    faults = []
    for view, sign in views.items():
        page.goto(shown.address + view)
        page.locator(sign).first.wait_for()
        for fault in axe.run(page).response["violations"]:
            if fault["impact"] in SERIOUS:
                faults.append((view, fault["id"], [node["target"] for node in fault["nodes"]][:3]))
    context.close()
    assert faults == []


def test_a_chosen_theme_stays(page: Any) -> None:
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("#theme").get_attribute("aria-pressed") == "true"


def test_what_plays_is_what_was_shown_at_that_time(browser: Any, tmp_path: Path) -> None:
    """Of a file that begins late, and of joined parts, of which the browser knows the first alone."""
    archive = tmp_path / "archive"
    archive.mkdir()
    late = [0.5 + number / 25 for number in range(100)]
    for name, codec in (("late.mp4", "libx264"), ("late.webm", "libvpx")):
        write_video(archive / name, moving(100), times=late, codec=codec)
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    for name, codec, options in (("joined.mp4", "libx264", fragments), ("joined.webm", "libvpx", None)):
        parts = [
            write_video(
                tmp_path / f"{part}{name}",
                moving(50, first=50 * part),
                codec=codec,
                container_options=options,
            )
            for part in range(3)
        ]
        (archive / name).write_bytes(b"".join(part.read_bytes() for part in parts))
    library = Library(tmp_path / "library", device="cpu", create=True)
    ingest(library, [str(archive)], IngestOptions(encoder="offline", device="cpu", workers=1))
    with library.read() as catalog:
        videos = {Path(video.path).name: video for video in catalog.list_videos()}
    library.close()
    assert {name: round(video.duration_seconds, 2) for name, video in videos.items()} == {
        "late.mp4": 4.0, "late.webm": 4.0, "joined.mp4": 6.0, "joined.webm": 6.0
    }  # fmt: skip
    with serve(tmp_path / "library") as address:
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
        page = context.new_page()
        for name, video in videos.items():
            for seconds in (1.0, 3.0):
                page.goto(f"{address}/?v={video.id}&t={seconds}")
                wait_until(page, f"{VIDEO}.readyState >= 2 && {VIDEO}.currentTime > 0.2")
                page.wait_for_timeout(1000)  # until what is known of the file has come
                wait_until(page, f"{VIDEO}.readyState >= 2 && !{VIDEO}.seeking")
                page.evaluate(f"{VIDEO}.pause()")
                page.click("#player-link")
                told = float(page.evaluate("navigator.clipboard.readText()").rpartition("t=")[2])
                number = read_stamp(
                    np.array(page.evaluate(PICTURE), np.uint8).reshape(HEIGHT, WIDTH, 4)[..., :3]
                )
                begins = 0.5 if name.startswith("late") else 0.0
                assert seconds - 0.3 < told < seconds + 5, name
                assert number / 25 + begins == pytest.approx(told, abs=0.1), (name, seconds)
        context.close()
