from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from comparing import compared
from metric_rows import value

from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.report.build import _meaningless, build_report
from galadapt.tasks.reading import load
from galadapt.tasks.registry import task

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
KERAS = {
    **{"learner": {"kind": "keras"}, "simulation": None, "starts_from": None},
    **{"description": "", "epochs": 30},
}
SKLEARN = {**KERAS, "learner": {"kind": "sklearn"}, "epochs": 100}
CONFIGURATION = {
    "preset": "smoke",
    "seed": 2026,
    "seeds": [1, 2],
    "methods": ["baseline", "transfer"],
    "method_settings": {"baseline": KERAS, "transfer": KERAS},
    "variants": ["asinh"],
    "survey": {"kind": "mock"},
    "simulation": {"n_train": 50000, "n_validation": 100, "n_test": 300},
    "image": {"stamp_size": 64, "pixel_scale": 0.06, "zero_point": 25.9463, "band": "F160W"},
}


@pytest.fixture
def inputs(tmp_path, make_run):
    runs = [make_run(method=m, seed=s) for m in ("baseline", "transfer") for s in (1, 2)]
    paths = compared(runs, tmp_path / "tables")
    (tmp_path / "figure.png").write_bytes(PIXEL)
    (tmp_path / "figure.csv").write_text("panel,x,y\n1,2,3\n")
    (tmp_path / "cuts.csv").write_text(
        "cut,condition,removed,remaining\ncatalog,all rows,0,150\n"
        "magnitude,18 <= magnitude <= 23,17,133\n"
    )
    (tmp_path / "rejected.csv").write_text("id,reason,value\n1,edge,3\n2,edge,5\n3,neighbours,.7\n")
    covered = {"level": 0.68, "n": 300, **dict.fromkeys(PARAMETERS, 0.6712)}
    bins = {"magnitude_low": 20.0, "magnitude_high": None, **dict.fromkeys(PARAMETERS, 0.111)}
    package = {
        "name": "galaxies/asinh/transfer",
        "reference_domains": ["simulated", "survey"],
        "members": [{}, {}],
        "parameters": PARAMETERS,
        "coverage": [
            {"domain": "simulated", "magnitude_low": None, "magnitude_high": None, **covered},
            {"domain": "simulated", **covered, **bins},
        ],
    }
    (tmp_path / "package.json").write_text(json.dumps(package))
    (tmp_path / "choice.html").write_text("<p>Recommended: seed_disagreement.</p>")
    (tmp_path / "fits.html").write_text("<p>9 survey galaxies were fitted.</p>")
    return {
        "output": tmp_path / "report.html",
        "configuration": CONFIGURATION,
        "words": task("galaxies").words,
        "comparison_html": paths["html"],
        "pictures": {
            "data": [(tmp_path / "figure.png", "Labels of <both> domains.")],
            "errors": [(tmp_path / "figure.png", "Share of galaxies inside.")],
        },
        "tables": [tmp_path / "cuts.csv", tmp_path / "rejected.csv"],
        "runs": runs,
        "code": {"train": "0123456789abcdef"},
        "survey": [],
        "package": tmp_path / "package.json",
        "choice_html": tmp_path / "choice.html",
        "fits_html": tmp_path / "fits.html",
    }


class Page(HTMLParser):
    """Every opening tag with its attributes, the text, and whether tags are balanced."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.text += " "
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_needs_nothing_else(inputs):
    build_report(**inputs)
    page = Page(inputs["output"].read_text())
    assert page.open == []
    sources = [a[key] for _, a in page.tags for key in ("src", "href") if key in a]
    assert all(
        source.startswith(("data:image/png;base64,", "data:text/csv", "#")) for source in sources
    )
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe")]
    anchors = {a["href"][1:] for tag, a in page.tags if tag == "a" and "download" not in a}
    assert anchors <= {a.get("id") for _, a in page.tags}
    image = next(a["src"] for tag, a in page.tags if tag == "img")
    assert base64.b64decode(image.split(",")[1]) == PIXEL


def test_the_page_says_what_was_run_and_what_came_out(inputs):
    build_report(**inputs)
    text = " ".join(Page(inputs["output"].read_text()).text.split())
    for name in PARAMETERS:
        assert f"{value(inputs['runs'][0], 'survey', name, 'r2'):.3f}" in text
    for wanted in (
        "Commit not recorded",
        "Trained on 2026-01-02",
        "50,000 train",
        "CANDELS study published",
        "whole catalogue all rows 0 150",
        "18 ≤ magnitude ≤ 23",
        "Labels of <both> domains.",
        "0123456789abcdef",
        "keras 3.15.1",
        "test set has 300 galaxies",
        "2 training seeds",
        "The survey is a mock",
    ):
        assert wanted in text, wanted
    assert re.search(r"edge 2 .*neighbours 1", text)
    assert "2 networks; the errors come from simulated and survey validation galaxies" in text
    assert "simulated 68 % 300 67.1 % 67.1 % 67.1 % 67.1 %" in text
    assert "Share of galaxies inside." in text.split("Do the errors hold?")[-1]
    assert "Choosing without labels" in text
    assert "Recommended: seed_disagreement." in text
    # Bins of magnitude stay in the package.
    assert "11.1 %" not in text


def settings_of(**methods) -> dict:
    return {**CONFIGURATION, "methods": list(methods), "method_settings": methods}


def test_every_method_is_described_beside_the_tables(inputs):
    inputs["configuration"] = settings_of(
        baseline={**KERAS, "description": "simulations <alone>"}, transfer=KERAS
    )
    build_report(**inputs)
    page = Page(inputs["output"].read_text())
    text = " ".join(page.text.split())
    assert "baseline simulations <alone> transfer (no description in the settings)" in text
    assert text.index("simulations <alone>") > text.index("Which method is best")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        (settings_of(a=KERAS, b={**KERAS, "epochs": 2}), None),
        (settings_of(a={**KERAS, "epochs": 4}), None),
        (settings_of(a={**KERAS, "epochs": 2}), "no network was trained for more than 2 epochs"),
        (settings_of(a={**KERAS, "epochs": 1}, b=SKLEARN), "for more than 1 epoch. They"),
        (settings_of(a=SKLEARN), None),
        ({"simulation": {"n_train": 128}}, "128 simulated stamps were there to learn from"),
        ({"simulation": None, "simulated": {"n_train": 96}}, "96 simulated stamps"),
    ],
)
def test_results_that_mean_nothing_are_called_so(inputs, changes, said):
    """By the settings, whatever the preset is called."""
    found = _meaningless({**CONFIGURATION, **changes})
    assert bool(found) is (said is not None)
    assert said is None or (said in found and found.startswith("The results on this page mean"))


def test_the_page_begins_with_that(inputs):
    fast = {**KERAS, "epochs": 2}
    inputs["configuration"] = settings_of(baseline=fast, transfer=fast)
    build_report(**inputs)
    text = " ".join(Page(inputs["output"].read_text()).text.split())
    assert text.index("results on this page mean nothing") < text.index("Training seeds")


def test_which_presets_mean_nothing(inputs):
    """Those of the tests, and no other."""
    config = Path(__file__).parents[3] / "config"
    of_task = {"stars": "stars.yaml", "screening": "screening.yaml", "votes": "votes.yaml"}
    for preset in sorted((config / "presets").glob("*.yaml")):
        base = of_task.get(preset.stem.split("_")[0], "config.yaml")
        dumped = load(config / base, preset).model_dump(mode="json")
        assert bool(_meaningless(dumped)) == preset.stem.endswith("smoke"), preset.stem


def test_equal_results_give_equal_bytes_whatever_the_hour(inputs):
    build_report(**inputs)
    first = inputs["output"].read_bytes()
    assert b"<dd>2026-01-02</dd>" in first
    path = inputs["runs"][0] / "environment.json"
    path.write_text(path.read_text().replace("T03:", "T04:").replace("20.0", "33.0"))
    build_report(**inputs)
    assert inputs["output"].read_bytes() == first


@pytest.mark.parametrize(("by", "said"), [("id", True), ("cell", False)])
def test_overlapping_stamps_are_owned_up_to(inputs, by, said):
    inputs["configuration"] = {**CONFIGURATION, "splits": {"by": by}}
    build_report(**inputs)
    assert ("can overlap on the mosaic" in inputs["output"].read_text()) is said


@pytest.mark.parametrize(
    ("n_train", "said"),
    [
        (50000, "used by transfer and"),
        (90000, "90,000 train, 100 validation, 300 test; used by transfer and"),
    ],
)
def test_another_simulation_says_its_size_where_it_differs(inputs, n_train, said):
    inputs["configuration"] = {
        **CONFIGURATION,
        "simulations": {"real": {**CONFIGURATION["simulation"], "n_train": n_train}},
        "method_settings": {"baseline": KERAS, "transfer": {**KERAS, "simulation": "real"}},
    }
    build_report(**inputs)
    text = Page(inputs["output"].read_text()).text
    assert " ".join(text.split()).count(f"Simulation real {said} methods that start from it") == 1


def test_a_task_without_a_package_and_a_choice_has_no_such_sections(inputs):
    inputs |= {"package": None, "pictures": {}, "choice_html": None, "fits_html": None}
    build_report(**inputs)
    text = Page(inputs["output"].read_text()).text
    assert "Do the errors hold?" not in text
    assert "Choosing without labels" not in text
    assert "Against a profile fit" not in text


def test_every_figure_can_be_had_as_numbers(inputs):
    build_report(**inputs)
    links = [a for tag, a in Page(inputs["output"].read_text()).tags if tag == "a"]
    (values, _) = [a for a in links if "download" in a]
    assert values["download"].endswith("_figure.csv")
    assert base64.b64decode(values["href"].split(",")[1]) == b"panel,x,y\n1,2,3\n"


def test_whether_errors_hold_is_said_in_words(inputs):
    build_report(**inputs)
    text = " ".join(Page(inputs["output"].read_text()).text.split())
    # 68 % of 300 within two sigma: 62.6 to 73.4 %.
    assert (
        "Simulated test set, 68 % errors are as stated for all quantities (62.6 to 73.4 % of 300 "
        "galaxies are expected)." in text
    )
    package = json.loads(inputs["package"].read_text())
    package["coverage"][0] |= {"magnitude": 0.5, "ellipticity": 0.9}
    inputs["package"].write_text(json.dumps(package))
    build_report(**inputs)
    text = " ".join(Page(inputs["output"].read_text()).text.split())
    assert "are too small for magnitude (50.0 %); larger than necessary for ellipticity" in text


def test_rows_name_the_simulation_they_were_tested_on(inputs):
    realistic = {**KERAS, "simulation": "realistic"}
    inputs["configuration"] = settings_of(baseline=KERAS, transfer=realistic)
    build_report(**inputs)
    text = " ".join(Page(inputs["output"].read_text()).text.split("All runs")[-1].split())
    assert text.count("simulated (realistic)") == 2


def test_no_rejected_object_is_said(inputs):
    inputs["tables"][1].write_text("id,reason,value\n")
    build_report(**inputs)
    assert "None." in Page(inputs["output"].read_text()).text


def test_a_long_table_is_cut_and_says_so(inputs):
    rows = "".join(f"cut{k},x,1,1\n" for k in range(100))
    inputs["tables"][0].write_text("cut,condition,removed,remaining\n" + rows)
    build_report(**inputs)
    assert "40 more rows are in the file" in inputs["output"].read_text()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("figure.png", b"GIF89a", r"figure\.png: not a PNG"),
        ("figure.png", None, r"figure\.png: no such file; rerun"),
        ("cuts.csv", b"a,b\n1,2\n", r"cuts\.csv: lacks the columns 'cut', 'removed'"),
        ("rejected.csv", b"a\n1\n", r"rejected\.csv: lacks the column 'reason'"),
        ("tables/comparison.html", None, "html: no such file; rerun"),
        ("choice.html", None, r"choice\.html: no such file; rerun"),
        ("package.json", b'{"name": "x"}', r"package\.json: lacks 'coverage'; rerun the stage"),
    ],
)
def test_broken_inputs_write_nothing(inputs, tmp_path, name, content, message):
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        build_report(**inputs)
    assert not inputs["output"].exists()


def test_metrics_of_another_shape_are_refused(inputs):
    (inputs["runs"][1] / "metrics.json").write_text('{"domains": {"survey": {"test": {"x": 1}}}}')
    with pytest.raises(DataError, match=r"metrics\.json: lacks the keys 'task'.*rerun"):
        build_report(**inputs)
