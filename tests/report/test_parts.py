"""What a report shows beside its own tables: other profiles, triggers, times, candidates."""

from __future__ import annotations

import io
import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import evolve
from PIL import Image
from report.sample import Rows, rows, sample

from conftest import TINY
from harness.plan.protocol import compile_plan
from harness.report import Results, read_results, write_report
from harness.report.gather import _title
from harness.report.profiles import profile_section
from harness.report.results import Seconds
from harness.spec.structure import structure

HOSTILE = "<script>alert(1)</script> | $x$"


def written(folder: Path, found: Results) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in write_report(found, folder)}


def valued(offset: float = 0.0) -> Rows:
    """Accuracy is count / 1000 + share + seed / 10 + offset."""
    every = rows()
    for row in every:
        cell = row["cell"]
        value = cell["count"] / 1000 + cell["discovered"] + row["seed"] / 10 + offset
        row["metrics"] = {"clean_accuracy": value}
    return every


def smoke(spec: dict[str, Any]) -> None:
    """One share instead of two, which is therefore no axis, and another count."""
    spec["forget"] = {"set": "corrupted", "discovered": 0.5}
    spec["corruption"]["count"] = {"sweep": [100, 7]}


def small(offset: float = 0.25) -> Results:
    every = [r for r in valued(offset) if r["cell"]["discovered"] == 0.5 and r["seed"] == 0]
    for row in every:
        row["cell"] = {"count": 100 if row["cell"]["count"] == 100 else 7}
    return sample(every, change=smoke, profile="smoke")


def test_profiles_are_compared_over_the_cells_that_both_have() -> None:
    section = profile_section(sample(valued()), small())
    [(_, (headers, lines))] = section.tables
    assert headers == ["method", "metric", "cells", "default", "smoke", "difference"]
    # count 100 and share 0.5 alone; over seeds 0, 1, 2 here, seed 0 there
    assert lines[0] == ["none", "clean_accuracy", "1", "0.700", "0.850", "-0.150"]
    assert [line[0] for line in lines] == ["none", "retrain", "ssd"]
    assert profile_section(small(), sample(valued())).tables[0][1][1][0][3:] == [
        "0.850",
        "0.700",
        "0.150",
    ]


def test_the_mean_is_of_cells_not_of_rows() -> None:
    lacking = [r for r in valued() if (r["cell"]["count"], r["seed"]) not in ((100, 1), (100, 2))]
    section = profile_section(sample(lacking), sample(valued(), profile="other"))
    # cells 1.1, 0.6 (one seed) and 2.1, 1.6 here; 1.2, 0.7, 2.1, 1.6 there
    assert section.tables[0][1][1][0][2:] == ["4", "1.350", "1.400", "-0.050"]


def test_a_difference_between_profiles_has_its_paired_interval() -> None:
    """The seeds differ by 0.1 each, in both alike, and the profiles by 0.25 ± 0.01 · seed."""
    more = valued()
    for row in more:
        row["metrics"]["clean_accuracy"] += 0.25 + row["seed"] / 100
    section = profile_section(sample(valued()), sample(more, profile="other"))
    half = 4.302653 * 0.01 / 3**0.5
    shown = f"-0.260 [{-0.26 - half:.3f}, {-0.26 + half:.3f}]"
    assert section.tables[0][1][1][0][5] == shown


def test_profiles_without_a_common_cell_say_so() -> None:
    section = profile_section(
        sample([r for r in valued() if r["cell"]["discovered"] == 1.0]), small()
    )
    assert section.notes == ("The profiles default and smoke have no cell in common.",)
    assert section.tables == ()


def test_the_folders_beside_are_found_and_broken_ones_passed_over(tmp_path: Path) -> None:
    write_report(small(), tmp_path / "smoke")
    alone = written(tmp_path / "default", sample(valued()))
    assert b"Beside other profiles" in alone["report.md"]
    assert b"### smoke" in alone["report.md"]
    assert b"<h3>smoke</h3>" in alone["report.html"]
    whole = json.loads((tmp_path / "smoke/results.json").read_text())
    for i, broken in enumerate(
        (
            "{",
            "[]",
            json.dumps({"format": 1}),
            json.dumps({**whole, "order": {}}),
            json.dumps({**whole, "spec": []}),
            json.dumps({**whole, "rows": [{}]}),
            json.dumps({**whole, "spec": {**whole["spec"], "version": "2.0.0"}}),
            json.dumps({**whole, "profile": None}),
        )
    ):
        (tmp_path / f"broken{i}").mkdir()
        (tmp_path / f"broken{i}/results.json").write_text(broken)
    (tmp_path / "a file").write_text("")
    assert written(tmp_path / "default", sample(valued())) == alone


def png(colour: str) -> str:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(stream, "PNG")
    return b64encode(stream.getvalue()).decode()


def trigger() -> dict[str, str]:
    return {"clean": png("red"), "triggered": png("lime"), "difference": png("blue")}


def test_the_title_of_a_corruption_tells_its_settings_without_python_in_it() -> None:
    augment = [{"name": "random_crop", "padding": 2}, "horizontal_flip"]
    corruption = {"name": "targeted_adversarial", "share": 0.1, "eps": 8 / 255, "augment": augment}
    spec = structure(yaml.safe_load(TINY) | {"corruption": corruption})
    stages = compile_plan(spec).stages.values()
    titles = (_title(stage.cell.corruption) for stage in stages if stage.kind == "corrupt")
    title = next(title for title in titles if title.startswith("targeted_adversarial"))
    assert title.startswith("targeted_adversarial: eps=0.03137, rounding=round, ")
    assert ", targeted=true, " in title
    assert title.endswith("augment=random_crop(padding=2, mode=zero) + horizontal_flip")


def test_triggers_are_inline_in_the_page_and_files_beside_the_text(tmp_path: Path) -> None:
    shown = [
        {"title": HOSTILE, "images": [trigger(), trigger()]},
        {"title": "b", "images": [trigger()]},
    ]
    files = written(tmp_path / "a", sample(pictures=shown))
    page, text = files["report.html"].decode(), files["report.md"].decode()
    assert "img-src 'self' data:" in page
    assert page.count('src="data:image/png;base64,') == 2
    assert page.count("<script") == 1  # our own
    assert "(trigger_1.png)" in text
    assert "(trigger_2.png)" in text
    whole = Image.open(io.BytesIO(files["trigger_1.png"]))
    assert whole.size == (306, 202)
    spots = {(5, 5): (255, 0, 0), (150, 150): (0, 255, 0), (290, 190): (0, 0, 255)}
    spots |= {(0, 0): (119, 119, 119), (100, 100): (255, 255, 255)}  # an outline, and between
    assert {at: whole.getpixel(at) for at in spots} == spots
    again = written(tmp_path / "b", read_results(tmp_path / "a"))
    assert again == files
    left = {f.name for f in write_report(sample(), tmp_path / "a")}
    assert {f.name for f in (tmp_path / "a").iterdir()} == left
    assert not any(name.startswith("trigger") for name in left)


def test_pictures_of_a_trigger_say_their_scale_and_frame_what_it_changes(tmp_path: Path) -> None:
    stamped = Image.new("RGB", (8, 8), "red")
    stamped.paste("lime", (5, 6, 8, 8))
    stream = io.BytesIO()
    stamped.save(stream, "PNG")
    patch = {**trigger(), "triggered": b64encode(stream.getvalue()).decode()}
    shown = [{"title": "patch", "images": [patch]}, {"title": "all", "images": [trigger()]}]
    files = written(tmp_path, sample(pictures=shown))
    for name in ("report.html", "report.md"):
        text = files[name].decode()
        assert "8 × 8 pixels, shown 12 times as large" in text, name
        assert "(128 + 4 × change, so grey is no change)" in text, name
        assert "what it changes is framed: columns 5 to 7, rows 6 to 7" in text, name
        assert "it changes pixels all over the picture" in text, name
    whole = Image.open(io.BytesIO(files["trigger_1.png"]))
    frame = whole.getpixel((104 + 60, 72))
    assert frame == (213, 94, 0)
    assert frame not in {c for _, c in Image.open(io.BytesIO(files["trigger_2.png"])).getcolors()}


def test_pixels_that_differ_between_images_are_framed_in_each(tmp_path: Path) -> None:
    shown = []
    for at in ((0, 0), (7, 7)):
        stamped = Image.new("RGB", (8, 8), "red")
        stamped.putpixel(at, (0, 255, 0))
        stream = io.BytesIO()
        stamped.save(stream, "PNG")
        shown.append({**trigger(), "triggered": b64encode(stream.getvalue()).decode()})
    files = written(tmp_path, sample(pictures=[{"title": "pixel", "images": shown}]))
    assert "what it changes is framed." in files["report.md"].decode()
    whole = Image.open(io.BytesIO(files["trigger_1.png"])).convert("RGB")
    first, second = (whole.crop((104, top, 202, top + 98)) for top in (0, 104))
    assert [tile.getpixel((13, 6)) == (213, 94, 0) for tile in (first, second)] == [True, False]
    assert [tile.getpixel((84, 90)) == (213, 94, 0) for tile in (first, second)] == [False, True]


@pytest.mark.parametrize(
    "bad",
    [
        '" onerror="alert(1)',
        "",
        None,
        3,
        "AAAA",
        "data:image/png;base64,AAAA",
        "AAA",
        b64encode(b"<svg/>").decode(),
        png("red") + "\n",
        png("red")[:40],
    ],
)
def test_what_is_no_picture_is_left_out(bad: Any, tmp_path: Path) -> None:
    shown = [{"title": "t", "images": [{**trigger(), "triggered": bad}, {"clean": png("red")}]}]
    files = written(tmp_path, sample(pictures=shown))
    assert b"<img" not in files["report.html"]
    assert b"Corrupted samples" not in files["report.md"]
    assert "trigger_1.png" not in files


def test_times_stand_under_cost(tmp_path: Path) -> None:
    times = {
        "ssd": Seconds(wall=1.25, cpu=1234.5, n=12),
        HOSTILE: Seconds(wall=0, cpu=0.001, gpu=2, n=1),
    }
    found = sample()
    found = evolve(found, provenance=evolve(found.provenance, times=times))
    files = written(tmp_path, found)
    text = files["report.md"].decode()
    cost = text[text.index("## Cost") : text.index("## Provenance")]
    [ssd] = re.findall(r"\| ssd .*", cost)
    assert ssd.split() == ["|", "ssd", "|", "1.25", "|", "1,234.50", "|", "–", "|", "12", "|"]
    assert "mean over n" in cost
    assert files["report.html"].count(b"<script") == 1  # our own
    assert "mean over n" not in written(tmp_path, sample())["report.md"].decode()


def test_many_candidates_are_averaged_over_cells_or_left_to_the_files(tmp_path: Path) -> None:
    many = [
        {**r, "cell": {"count": r["cell"]["count"], "discovered": share / 500}}
        for r in valued()
        if r["seed"] == 0 and r["cell"]["discovered"] == 0.5
        for share in range(101)
    ]
    files = written(tmp_path, sample(many))
    text, page = files["report.md"].decode(), files["report.html"].decode()
    assert text.count("alpha=50.0") == 2  # beside its rule, and among the candidates
    assert '<a href="candidates.csv">' in page
    assert len(files["candidates.csv"].splitlines()) == 1 + len(many)
    [line] = re.findall(r"<tr><th scope=\"row\">ssd<td>alpha=50.0<td>.*", page)
    # mean of count / 1000 is 0.55, the share was 0.5 when the numbers were made
    assert line.split("<td>")[2:4] == ["202 of 202", "1.050"]
    left = {f.name for f in write_report(sample(), tmp_path)}
    assert {f.name for f in tmp_path.iterdir()} == left
    assert "candidates.csv" not in left
