"""The pages as they leave the service: what is on them, for every kind of model, and how safely."""

from __future__ import annotations

import json
import pickle
import re

import pytest
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from churn.artifact import Manifest
from churn.errors import RequestError
from churn.model import Model, load
from churn.opaque import Opaque
from churn.schema import Field, Schema
from churn.service import Service
from churn.settings import Settings
from churn.web.drawing import panels
from churn.web.flask_app import create_app
from churn.web.pages import Pages, wants_html
from churn.web.wording import day, number, percent, signed, worded

HOSTILE = "</script><script>alert(1)</script>"
ROWS = [
    {"plan": "basic", HOSTILE: f"{HOSTILE}{at % 2}", "age": float(20 + at), "paid": "yes"}
    for at in range(12)
] + [{"plan": '"><img src=x onerror=alert(1)>', HOSTILE: "'", "age": 3.0, "paid": "no"}] * 4
LEFT = [0, 1] * 8


def pages_of(model):
    return Pages(Service(model, Settings()))


def text(answer):
    return answer.body.decode()


@pytest.fixture(scope="module")
def pages(service):
    return Pages(service)


@pytest.fixture(scope="module")
def recovered(tmp_path_factory):
    """A pair made elsewhere, without a manifest, whose names and values mean harm."""
    vectorizer = DictVectorizer(sparse=False)
    pair = vectorizer, LogisticRegression(max_iter=1000).fit(vectorizer.fit_transform(ROWS), LEFT)
    path = tmp_path_factory.mktemp("recovered") / "model.bin"
    path.write_bytes(pickle.dumps(pair))
    return load(path)


@pytest.fixture(scope="module")
def opaque():
    """A model that is no scorecard."""
    vectorizer = DictVectorizer(sparse=False)
    tree = DecisionTreeClassifier(max_depth=2).fit(vectorizer.fit_transform(ROWS), LEFT)
    schema = Schema.recovered(list(vectorizer.feature_names_), "=")
    scorer = Opaque(vectorizer, tree)
    return Model(None, "0" * 64, scorer, schema, Manifest(schema), (0, 1))


def test_every_field_has_a_labelled_control(pages, model):
    html = text(pages.home())
    named = re.findall(r'<(?:select|input) id="([^"]+)" name="([^"]+)"', html)
    assert {name for _, name in named} == {field.name for field in model.schema.fields}
    assert all(f'<label for="{identity}">' in html for identity, _ in named)


def test_the_form_holds_the_known_customer(pages):
    html = text(pages.home())
    assert '<option value="month-to-month" selected>Month-to-month</option>' in html
    assert re.search(r'name="monthlycharges" value="29.85"', html)


def test_the_page_speaks_of_customers_not_of_classes(pages):
    html = text(pages.home()) + text(pages.model())
    assert not re.search(r"positive class|logit|>one_year|>fiber_optic", html)


def test_the_model_page_draws_every_field_and_tells_each_drawing(pages, model):
    html = text(pages.model())
    assert html.count('role="img"') == html.count("<desc ") == len(model.schema.fields)
    assert "Month-to-month: +0.46" in html


def test_the_panels_share_one_scale_and_start_with_the_strongest(model):
    found = panels(model, model.scorecard)
    sizes = [panel.importance for panel in found]
    bars = [bar for panel in found for bar in panel.bars if abs(bar.row.points) > 0.1]
    scales = [bar.width / abs(bar.row.points) for bar in bars]
    assert sizes == sorted(sizes, reverse=True)
    assert max(scales) == pytest.approx(min(scales), rel=0.01)


@pytest.mark.parametrize("kind", ["recovered", "opaque"])
@pytest.mark.parametrize("page", ["home", "model"])
def test_a_hostile_name_or_value_stays_text(kind, page, request):
    html = text(getattr(pages_of(request.getfixturevalue(kind)), page)())
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "alert(1)" in html


def test_a_model_without_papers_says_what_nobody_recorded(recovered):
    html = text(pages_of(recovered).model())
    assert "came without its papers" in html
    assert "Nobody recorded how well this model does" in html
    assert "nobody recorded the range" in html


def test_a_model_that_is_no_scorecard_shows_its_fields_and_promises_no_reasons(opaque):
    pages = pages_of(opaque)
    assert "This model is no scorecard" in text(pages.model())
    assert 'data-explains="false"' in text(pages.home())


def test_nothing_on_a_page_runs_or_styles_inline(pages):
    for page in (pages.home(), pages.model()):
        assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", text(page))
        assert all(
            "src=" in tag or "application/json" in tag
            for tag in re.findall(r"<script[^>]*>", text(page))
        )


def test_a_page_names_no_other_host(pages):
    for page in (pages.home(), pages.model()):
        assert not re.search(r"""(?:src|href|action)=["']?(?:https?:)?//""", text(page))


def test_the_policy_allows_our_own_files_alone(client):
    policy = client.get("/").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy


def test_every_file_a_page_names_is_there_and_may_be_kept_for_good(client):
    for path in ("/", "/model"):
        html = client.get(path, headers={"Accept": "text/html"}).text
        for name in re.findall(r'"(static/[^"]+)"', html):
            answer = client.get(f"/{name}")
            assert (answer.status_code, "immutable" in answer.headers["Cache-Control"]) == (200, 1)


def test_a_file_of_another_release_is_given_but_not_for_good(pages):
    assert pages.asset("0123456789ab", "page.css").headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("name", ["", "x", "../pages.py", "%2e%2e/pages.py", "home.html"])
def test_nothing_but_the_pages_files_is_served(pages, name):
    with pytest.raises(RequestError) as error:
        pages.asset(pages.release, name)
    assert error.value.status == 404


def test_a_browser_gets_the_page_and_a_program_the_json(client, model):
    card = client.get("/model").get_json()
    page = client.get("/model", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.mimetype == "text/html"
    assert (card["sha256"], card["schema"]) == (model.sha256, model.schema.to_json())
    assert "golden" not in json.dumps(card)


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("application/json", False),
        ("application/json, text/html;q=0.9", False),
        ("text/*", True),
        ("text/html;q=nonsense", False),
    ],
)
def test_the_accept_header_decides(accept, html):
    assert wants_html(accept) is html


def test_an_operators_threshold_is_the_one_shown(model):
    app = create_app(Service(model, Settings(threshold=0.3)), Settings(threshold=0.3))
    page = app.test_client().get("/model", headers={"Accept": "text/html"}).text
    assert "30%" in page
    assert "training said 50%" in page


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (Field("a", "category", ("x",)), "bank_transfer_(automatic)", "Bank transfer (automatic)"),
        (Field("a", "category", ("x",)), "dsl", "DSL"),
        (Field("a", "category", ("x",), missing="missing"), "missing", "Not known"),
        (Field("a", "category", ("",)), "", "(empty)"),
        (Field("a", "yes/no", (0, 1)), 1, "Yes"),
        (Field("a", "yes/no", ("false", "true")), "false", "No"),
        (Field("a", "number"), 8684.8, "8,685"),
    ],
)
def test_values_are_worded_for_people(field, value, words):
    assert worded(field, value) == words


def test_numbers_points_shares_and_days_are_worded_for_people():
    assert [number(each) for each in (0, 18.25, 0.01234, 1e12)] == [
        "0", "18.25", "0.0123", "1,000,000,000,000",
    ]  # fmt: skip
    assert [signed(each) for each in (0.456, 0.001, -0.001)] == ["+0.46", "0", "0"]
    assert [percent(each) for each in (0, 0.005, 0.5, 0.995, 1)] == [
        "0%", "under 1%", "50%", "over 99%", "100%",
    ]  # fmt: skip
    assert [day("2026-11-24T06:46:42+00:00"), day("lately")] == ["24 November 2026", "lately"]
