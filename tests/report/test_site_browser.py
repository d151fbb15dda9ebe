"""The site in a real browser: sorted, filtered, read by keyboard, with scans; nothing leaves the disk."""

import base64
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support import finished_project, needs
from support.browser import Browser
from support.project_folder import write_params

from semiseg.cli.main import main
from semiseg.paths import SITE

ROW = "rows/tiny/cps.html"
PAGES = ("index.html", "tables/tiny.html", "tables/later.html", ROW, "rows/tiny/control_perfect.html", "glossary.html")
AXE = (
    "axe.run(document, {preload: false,"
    " runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
    ".then((found) => found.violations.map((one) => [one.id, one.nodes[0].html]))"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the finished project, with a table that is not built, and apart from the project."""
    project = finished_project.copy(tmp_path_factory)
    params = finished_project.params()
    params["tables"]["later"] = {**params["tables"]["tiny"], "title": "Later", "seeds": [5]}
    write_params(project, params)
    shutil.copytree(Path(__file__).parents[2] / "docs", project / "docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        assert main(["audit", finished_project.TABLE]) == 0
        assert main(finished_project.arguments(finished_project.graph().maker(SITE))) == 0
    return Path(shutil.copytree(project / "results/site", tmp_path_factory.mktemp("published") / "a folder"))


@pytest.fixture(scope="module")
def shared() -> Iterator[Browser]:
    with needs.browser() as browser:
        yield browser


@pytest.fixture
def browser(shared: Browser) -> Iterator[Browser]:
    """The browser, which has asked for nothing and complained of nothing when the test ends."""
    shared.resize(1400, 1000)
    shared.prefer("light")
    shared.allow_scripts(True)
    yield shared
    assert shared.requests == [] and shared.messages == []


def texts(browser: Browser, selector: str) -> list[str]:
    """Texts of the elements that are seen, in the order of the page."""
    found = f"[...document.querySelectorAll({json.dumps(selector)})].filter((one) => one.checkVisibility())"
    return list(browser.run(f"{found}.map((one) => one.textContent)"))


def cases(table: str) -> str:
    return f"#{table} tbody th"


def test_a_click_on_a_name_sorts_and_the_address_shows_the_same_table_again(site, browser):
    browser.open((site / ROW).as_uri())
    worst_first = texts(browser, cases("sound"))
    assert len(worst_first) == 2
    browser.click("#sound th[data-key=Dice] button")
    assert texts(browser, cases("sound")) == worst_first[::-1], "the first click shows the best first"
    assert browser.run("document.querySelector('#sound th[data-key=Dice]').ariaSort") == "descending"
    address = browser.run("location.href")
    assert address.endswith("#sound.sort=Dice-desc")
    assert texts(browser, cases("published")) == worst_first, "the other table stays as it is"
    browser.open((site / "index.html").as_uri())
    browser.open(address)
    assert texts(browser, cases("sound")) == worst_first[::-1]
    browser.click("#sound th[data-key=Dice] button")
    assert texts(browser, cases("sound")) == worst_first


def test_a_filter_and_hidden_columns_stand_in_the_address(site, browser):
    browser.open((site / "index.html").as_uri())
    assert texts(browser, cases("tables")) == ["tiny", "later"]
    select = "[...document.querySelectorAll('#part-tables label')].find((one) => one.textContent.startsWith('Proof'))"
    browser.run(f"{select}.lastChild.value = 'proven'")
    browser.run(f"{select}.lastChild.dispatchEvent(new Event('change'))")
    assert texts(browser, cases("tables")) == ["tiny"] and texts(browser, "#part-tables output") == ["1 of 2 rows"]
    browser.click("#part-tables summary")
    browser.click("#part-tables details label:nth-child(2)")
    assert "Title" not in texts(browser, "#tables thead th")
    address = browser.run("location.href")
    assert set(address.partition("#")[2].split("&")) == {"tables.proof=proven", "tables.hide=title"}
    browser.open((site / "glossary.html").as_uri())
    browser.open(address)
    assert texts(browser, cases("tables")) == ["tiny"] and "Title" not in texts(browser, "#tables thead th")


def test_what_is_shown_is_what_is_saved(site, browser, tmp_path):
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.open((site / "tables/tiny.html").as_uri() + "#published.hide=n,proof&published.sort=Dice-asc")
    browser.click("#part-published .save")
    saved = tmp_path / "tiny-published.csv"
    browser.until(saved.exists)
    frame = pd.read_csv(saved)
    assert "n" not in frame and list(frame["Method"]) == texts(browser, cases("published"))
    assert frame["Dice (%)"].astype(str).str.split().str[0].astype(float).is_monotonic_increasing


def test_three_clicks_lead_from_a_cell_to_the_scan_of_its_worst_case(site, browser):
    browser.open((site / "tables/tiny.html").as_uri())
    browser.click("#sound tbody tr:first-child td a")  # 1: the cell
    browser.wait("document.querySelector('table.cases tbody th button')")
    table = pd.read_csv(site / "tables/tiny.sound.csv")
    assert texts(browser, "h1") == [table["label"][0]]
    browser.click("#sound tbody th button")  # 2: its first case
    browser.wait("document.querySelector('dialog').dataset.shown")
    assert browser.run("document.querySelector('dialog').dataset.shown") == texts(browser, cases("sound"))[0]
    for view in ("Prediction", "Truth", "Errors", "Scan alone"):
        assert view in texts(browser, ".views button")
    pictures = {view: drawn(browser, view) for view in ("Truth", "Scan alone")}
    assert coloured(pictures["Truth"]) > 100 and coloured(pictures["Scan alone"]) == 0
    assert grey(pictures["Scan alone"]) > 1000, "the scan itself is drawn"
    browser.press("Escape")
    assert not browser.run("document.querySelector('dialog').open")


def test_slices_are_drawn_where_there_is_no_webgl(site):
    with needs.browser("--disable-3d-apis") as browser:
        browser.resize(1400, 1000)
        browser.open((site / ROW).as_uri())
        browser.click("#sound tbody th button")
        browser.wait("document.querySelector('dialog').dataset.shown")
        assert not browser.run("'niivue' in globalThis")
        pictures = {view: drawn(browser, view) for view in ("Truth", "Scan alone")}
        assert coloured(pictures["Truth"]) > 100 and coloured(pictures["Scan alone"]) == 0
        assert browser.requests == [] and browser.messages == []


def test_a_scan_that_was_not_copied_is_named(site, browser, tmp_path):
    part = Path(shutil.copytree(site, tmp_path / "part"))
    shutil.rmtree(part / "volumes")
    browser.open((part / ROW).as_uri())
    browser.click("#sound tbody th button")
    browser.wait("document.querySelector('dialog [role=status]').textContent.includes('copy the whole folder')")
    assert all("ERR_FILE_NOT_FOUND" in message for message in browser.messages)
    browser.messages.clear()


def test_a_coarser_scan_is_shown_with_the_share_of_its_voxels(site, browser, tmp_path):
    coarse = Path(shutil.copytree(site, tmp_path / "coarse"))
    for path in (coarse / "volumes").rglob("scan.js"):
        path.write_text(path.read_text(encoding="utf-8").replace('"step": 1', '"step": 2'), encoding="utf-8")
    browser.open((coarse / ROW).as_uri())
    browser.click("#sound tbody th button")
    browser.wait("document.querySelector('dialog').dataset.shown")
    status = texts(browser, "dialog [role=status]")[0]
    assert "One voxel in 2 along each axis of the prepared scan is shown." in status


def test_a_case_that_arrives_late_is_not_shown_in_place_of_another_one(site, browser):
    browser.open((site / ROW).as_uri())
    first, second = texts(browser, cases("sound"))
    browser.run(f"cases.set({json.dumps(first)}, volumes({json.dumps(first)})).get({json.dumps(first)})")
    expected = browser.run(f"cases.get({json.dumps(first)}).then(({{ scan }}) => scan.join())")
    browser.open((site / "index.html").as_uri())
    browser.open((site / ROW).as_uri())
    browser.run(
        "(() => { const real = loadScript; globalThis.late = []; globalThis.loadScript = (source) => real(source).then("
        f"() => source.includes({json.dumps(f'/{first}')}) && new Promise((go) => late.push(go))); }})()"
    )
    browser.click("#sound tbody tr:nth-child(1) th button")
    browser.wait("late.length")
    browser.press("Escape")
    browser.wait("!document.querySelector('dialog').open")
    browser.click("#sound tbody tr:nth-child(2) th button")
    browser.wait(f"document.querySelector('dialog').dataset.shown === {json.dumps(second)}")
    browser.run("late[0]()")
    browser.wait("late.length === 2")
    browser.run("late[1]()")
    assert browser.run(f"cases.get({json.dumps(first)}).then(({{ scan }}) => scan.join())") == expected
    browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert browser.run("document.querySelector('dialog').dataset.shown") == second
    assert len(texts(browser, ".views button")) == 4 and texts(browser, "dialog h2")[0].startswith(f"{second},")


def test_a_case_is_shown_that_is_asked_for_as_another_one_is_closed(site, browser):
    browser.open((site / ROW).as_uri())
    second = texts(browser, cases("sound"))[1]
    browser.click("#sound tbody tr:nth-child(1) th button")
    browser.wait("document.querySelector('dialog').dataset.shown")
    browser.run(
        "document.querySelector('dialog').close();"
        "document.querySelector('#sound tbody tr:nth-child(2) th button').click()"
    )  # in one task, so that the event of closing comes last
    browser.wait(f"document.querySelector('dialog').dataset.shown === {json.dumps(second)}")
    assert coloured(drawn(browser, "Truth")) > 100


def test_the_keyboard_reaches_and_explains_every_column(site, browser):
    browser.open((site / ROW).as_uri())
    browser.press("Tab")
    assert browser.run("document.activeElement.textContent") == "Skip to the content"
    browser.run("document.querySelector('#sound th[data-key=\"95HD\"] button').focus()")
    assert "95th percentile of the surface distances" in texts(browser, "#part-sound .meaning")[0]
    assert "95th percentile" in browser.run("document.activeElement.ariaDescribedByElements[0].textContent")
    browser.press("Enter")
    assert browser.run("document.activeElement.closest('th').ariaSort") == "descending"
    browser.run("document.querySelector('#sound tbody th button').focus()")
    browser.press("Enter")
    browser.wait("document.querySelector('dialog').dataset.shown && document.activeElement.closest('dialog')")
    browser.press("Escape")
    assert browser.run("document.activeElement.closest('#sound') !== null"), "the focus returns to the case"


def test_the_tables_are_whole_without_scripts(site, browser):
    browser.allow_scripts(False)
    browser.open((site / "tables/tiny.html").as_uri())
    table = pd.read_csv(site / "tables/tiny.csv")
    assert texts(browser, cases("published")) == list(table["label"])
    first = texts(browser, "#published tbody tr:first-child td")
    assert f"{table['Dice'][0]:.2f}" in [text.split(" ")[0] for text in first]
    link = browser.run("document.querySelector('#published tbody th a').getAttribute('href')")
    browser.open((site / "tables" / link).resolve().as_uri())
    assert len(texts(browser, cases("sound"))) == 2
    picture = browser.run("document.querySelector('#cases a[href$=\".png\"]').href")
    browser.open(picture)
    assert browser.run("document.images[0].naturalWidth") > 100


def test_no_page_is_wider_than_a_phone(site, browser):
    browser.resize(400, 800)
    for page in PAGES:
        browser.open((site / page).as_uri())
        assert browser.run("document.documentElement.scrollWidth") == 400, page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(site, browser, scheme):
    source = needs.axe()
    browser.prefer(scheme)
    for page in PAGES:
        for width in (1400, 400):
            browser.resize(width, 900)
            browser.open((site / page).as_uri())
            assert browser.run(f"{source};{AXE}") == [], (page, width)
    browser.open((site / ROW).as_uri())
    browser.click("#sound tbody th button")
    browser.wait("document.querySelector('dialog').dataset.shown")
    assert browser.run(f"{source};{AXE}") == []


def test_dark_is_dark_and_the_print_names_its_record(site, browser, tmp_path):
    browser.prefer("dark")
    browser.open((site / "tables/tiny.html").as_uri())
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    browser.printed(tmp_path / "tiny.pdf")
    assert (tmp_path / "tiny.pdf").read_bytes().startswith(b"%PDF")
    browser.call("Emulation.setEmulatedMedia", media="print")
    identity = browser.run("document.querySelector('footer code').textContent")
    assert len(identity) == 64 and texts(browser, "footer p")[0].startswith(f"Record {identity}")
    assert texts(browser, ".tools") == [] and texts(browser, "nav") == []
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.call("Emulation.setEmulatedMedia", media="")


def drawn(browser: Browser, view: str) -> np.ndarray:
    """The canvas as it is seen under one of the viewer's choices, ``[rows columns 3]``."""
    browser.run(f"[...document.querySelectorAll('.views button')].find((one) => one.textContent === '{view}').click()")
    browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    box = "document.querySelector('.stage').getBoundingClientRect()"
    sides = browser.run(f"(({{x, y, width, height}}) => [x + scrollX, y + scrollY, width, height])({box})")
    clip = dict(zip(("x", "y", "width", "height"), sides, strict=True))
    data = browser.call("Page.captureScreenshot", clip={**clip, "scale": 0.5})["data"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), int)


def coloured(picture: np.ndarray) -> int:
    """Pixels that the blue of the organ has coloured."""
    return int((picture[..., 2] > picture[..., 0] + 25).sum())


def grey(picture: np.ndarray) -> int:
    """Pixels of the scan: no colour, and not black."""
    return int(((np.ptp(picture, axis=-1) < 10) & (picture.max(-1) > 30)).sum())
