"""The pages in a real browser against a real server: what a person sees, types and gets.

Every page also watches itself: an error in the console, a breach of the policy, a question to
another host fails the test it happens in.
"""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import CUSTOMER, SERVERS, Server
from playwright.sync_api import expect, sync_playwright

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

KEY = "a-key-for-the-test"

COLUMNS = ["customerID", *CUSTOMER]


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def home():
    # slices of 40, so that a small file takes several, and a body limit that a person could meet
    server = Server(SERVERS["waitress"], CHURN_MAX_CUSTOMERS="40", CHURN_MAX_BODY="20000")
    yield f"http://127.0.0.1:{server.port}/"
    server.stop()


@pytest.fixture(scope="module")
def locked():
    server = Server(SERVERS["waitress"], CHURN_API_KEYS=KEY)
    yield f"http://127.0.0.1:{server.port}/"
    server.stop()


@pytest.fixture
def opened(chromium):
    """Return a function that opens an address in a browser of its own, watched."""
    contexts, wrong = [], []

    def open_(address, allowed=(), **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text)
                if said.type in ("error", "warning") and not any(a in said.text for a in allowed)
                else None)  # fmt: skip
        page.on("request", lambda asked: wrong.append(asked.url)
                if not asked.url.startswith((address.split("#")[0], "blob:", "data:"))
                else None)  # fmt: skip
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def page(opened, home):
    # a browser reports every refusal in its console, also one that the page asked for
    page = opened(home, allowed=("status of 422", "status of 400", "status of 413"))
    expect(page.locator("#dial-number")).to_have_text("72%")
    return page


@pytest.fixture
def table(tmp_path):
    """Return a function that writes a CSV of ``count`` customers, longer with us each."""

    def write(count, name="customers.csv", **changes):
        path = tmp_path / name
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(COLUMNS)
            for at in range(count):
                customer = {**CUSTOMER, "tenure": at % 73, **changes.get(f"row{at}", {})}
                rows.writerow([f'ID-{at}, "the {at}th"', *customer.values()])
        return path

    return write


def field(page, name):
    return page.locator(f'[name="{name}"]')


def scored(page, path):
    page.get_by_role("tab", name="A file of customers").click()
    page.locator("#file").set_input_files(path)
    expect(page.locator("#scored")).to_be_visible()


def column(page, kind):
    return page.locator(f"#table tbody .{kind}").all_inner_texts()


def cells(path):
    return list(csv.reader(Path(path).read_text(encoding="utf-8").splitlines()))


def test_the_known_customer_is_answered_when_the_page_opens(page):
    expect(page.locator("#verdict")).to_contain_text("Likely to leave")
    expect(page.locator("#waterfall li").first).to_contain_text("The average customer")
    expect(page.locator("#waterfall li").last).to_contain_text("72%")
    expect(page.locator("#why-words")).to_contain_text("Contract (Month-to-month)")


def test_a_change_is_answered_at_once_and_without_a_reload(page):
    page.evaluate("window.same = true")
    field(page, "contract").select_option(label="Two year")
    expect(page.locator("#verdict")).to_contain_text("Likely to stay")
    field(page, "tenure").fill("70")
    expect(page.locator("#dial-number")).not_to_have_text("72%")
    assert page.evaluate("window.same")


def test_an_error_is_shown_at_its_field_and_goes_when_put_right(page):
    tenure = field(page, "tenure")
    tenure.fill("-5")
    expect(tenure).to_have_attribute("aria-invalid", "true")
    expect(tenure).to_have_accessible_description(re.compile("This is negative"))
    expect(page.locator("#verdict")).to_contain_text("can't read Tenure")
    tenure.fill("5")
    expect(tenure).not_to_have_attribute("aria-invalid", "true")
    expect(page.locator("#verdict")).to_contain_text("Likely to")


def test_what_was_probably_meant_is_one_click_away(page):
    field(page, "tenure").fill("12.4")
    page.get_by_role("button", name="Use 12").click()
    expect(field(page, "tenure")).to_have_value("12")
    expect(page.locator("#verdict")).to_contain_text("Likely to")


def test_a_number_beyond_what_training_saw_gets_a_gentle_note(page):
    field(page, "monthlycharges").fill("500")
    note = page.get_by_text("never saw a customer above 118.75")
    expect(note).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text("A risk of")


def test_values_that_never_stood_together_get_a_gentle_note(page):
    field(page, "phoneservice").select_option(label="Yes")
    expect(page.locator("#together")).to_contain_text(
        "No customer ever had Phone service “Yes” together with Multiple lines “No phone service”"
    )


def test_a_change_that_helps_is_applied_with_one_click_and_undone_with_another(page):
    best = page.locator("#changes button").first
    expect(best).to_contain_text("Month-to-month → Two year")
    promised = best.locator(".then b").inner_text()
    best.click()
    expect(page.locator("#dial-number")).to_have_text(promised)
    expect(field(page, "contract")).to_have_value("two_year")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#dial-number")).to_have_text("72%")


def test_a_slider_moves_its_number(page):
    slider = page.get_by_label("Tenure, slider")
    slider.press("End")
    expect(field(page, "tenure")).to_have_value("72")
    expect(page.locator("#verdict")).to_contain_text("Likely to stay")


def test_a_file_is_scored_in_slices_and_ranked(page, table):
    asked = []
    page.on("request", lambda each: asked.append(each) if "predict" in each.url else None)
    scored(page, table(100))
    risks = [int(risk.strip("%")) for risk in column(page, "risk")]
    assert risks == sorted(risks, reverse=True)
    assert (len(asked), len(risks)) == (3, 50)
    expect(page.locator("#tiles")).to_contain_text("100")
    expect(page.locator("#table tbody tr").first).to_contain_text("Month-to-month")


def test_the_ranked_table_sorts_pages_and_filters(page, table):
    scored(page, table(100))
    page.get_by_role("button", name="customerID").click()
    assert column(page, "name")[:3] == [f'ID-{at}, "the {at}th"' for at in range(3)]
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#page-words")).to_have_text(re.compile("^51.100 of 100$"))
    page.get_by_label("Show").select_option(label="Likely to leave")
    assert set(column(page, "verdict")) == {"Likely to leave"}
    page.get_by_label("Find").fill("ID-7,")
    expect(page.locator("#found")).to_have_text("1 of 100 customers")


def test_the_scored_file_keeps_every_cell_and_adds_the_estimate(page, table):
    path = table(90, name="May.csv", row60={"tenure": "soon"})
    scored(page, path)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the scored file").click()
    assert download.value.suggested_filename == "May-scored.csv"
    given, got = cells(path), cells(download.value.path())
    assert [row[: len(COLUMNS)] for row in got] == given
    assert got[0][len(COLUMNS) :] == ["churn_probability", "churn", "reasons", "error"]
    assert 0.71 < float(got[2][-4]) < 0.74
    assert (got[61][-4], "soon" in got[61][-1], got[62][-1]) == ("", True, "")


def test_rows_that_could_not_be_scored_are_listed_with_the_reason(page, table):
    scored(page, table(50, row7={"contract": "two yearz"}))
    page.get_by_label("Show").select_option(label="Not scored")
    assert len(column(page, "why")) == 1
    expect(page.locator("#table tbody .why")).to_contain_text("did you mean two_year?")


def test_a_ranked_customer_can_be_looked_into(page, table):
    scored(page, table(60))
    page.get_by_label("Find").fill("ID-59,")
    page.get_by_role("button", name="Look into row 60").click()
    expect(field(page, "tenure")).to_have_value("59")
    expect(page.locator("#answer-title")).to_be_focused()


def test_a_spreadsheets_own_csv_is_read(page, tmp_path):
    path = tmp_path / "excel.csv"
    rows = [["Kundin", *CUSTOMER], ["Müller", *CUSTOMER.values()], ["Groß", *CUSTOMER.values()]]
    path.write_bytes("\r\n".join(";".join(map(str, row)) for row in rows).encode("cp1252"))
    scored(page, path)
    assert column(page, "name") == ["Müller", "Groß"]
    expect(page.locator("#file-note")).to_contain_text("Windows-1252")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "The file is empty"),
        ("a,b\n", "no customers below"),
        ("a,b\n1,2\n", "Contract (column contract) is missing"),
        ('a,b\n1,"2\n', "The quote that opens in line 2 is never closed"),
    ],
)
def test_a_file_that_is_no_table_of_customers_is_refused_in_words(page, tmp_path, content, said):
    (tmp_path / "x.csv").write_text(content)
    page.get_by_role("tab", name="A file of customers").click()
    page.locator("#file").set_input_files(tmp_path / "x.csv")
    expect(page.locator("#file-wrong")).to_contain_text(said)


def test_the_example_file_can_be_scored(page, tmp_path):
    page.get_by_role("tab", name="A file of customers").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download an example file").click()
    download.value.save_as(tmp_path / "example.csv")
    scored(page, tmp_path / "example.csv")
    assert column(page, "risk") == ["72%"]


def test_a_closed_service_asks_for_the_key_until_it_is_right(opened, locked):
    page = opened(locked, allowed=("status of 401",))
    given = page.get_by_label("API key")
    expect(given).to_be_focused()
    given.fill("not-the-right-one")
    given.press("Enter")
    expect(page.get_by_role("heading", name="The service refused this key")).to_be_visible()
    given.fill(KEY)
    given.press("Enter")
    expect(page.locator("#dial-number")).to_have_text("72%")
    page.reload()
    expect(page.locator("#dial-number")).to_have_text("72%")


def test_everything_can_be_done_by_keyboard(page, table):
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.locator("#tab-one").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="A file of customers")).to_be_focused()
    expect(page.locator("#panel-file")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#file")).to_be_focused()
    page.locator("#tab-file").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    expect(field(page, "gender")).to_be_focused()
    field(page, "contract").focus()
    page.keyboard.press("End")
    expect(page.locator("#verdict")).to_contain_text("Likely to stay")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(opened, home, table, scheme):
    page = opened(home, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    wide = "document.documentElement.scrollWidth"
    expect(page.locator("#dial-number")).to_have_text("72%")
    assert page.evaluate(wide) == 360
    scored(page, table(50))
    assert page.evaluate(wide) == 360
    page.goto(f"{home}model")
    assert page.evaluate(wide) == 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_fault_that_axe_finds(opened, home, table, scheme):
    # axe puts its own script in, which the policy rightly forbids
    page = opened(home, bypass_csp=True, color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator("#dial-number")).to_have_text("72%")
    assert faults(page) == {}
    scored(page, table(50, row3={"tenure": "x"}))
    assert faults(page) == {}
    page.goto(f"{home}model")
    page.get_by_text("The same as a table").click()
    assert faults(page) == {}


def faults(page):
    found = Axe().run(page).response["violations"]
    return {fault["id"]: [node["html"] for node in fault["nodes"][:3]] for fault in found}
