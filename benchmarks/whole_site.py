"""The site over 30 synthetic tables of 46 rows with 13 organs and 20 test cases: time to build, size, time to open.

Opening is measured in headless Chromium, from the request of the page to its load event, scripts included, by the clock
and by the processor time of the page's main thread, which says more on a busy machine; the floor is an empty page.
Without Chromium these lines are left out. ``--tiny`` has two tables of three rows.
"""

import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from measuring import Row, alternate, main

from semiseg.graph.graph import Graph
from semiseg.graph.plan import Plan
from semiseg.jobs.record import write_record
from semiseg.params.reading import read
from semiseg.params.table_spec import TableSpec, as_json
from semiseg.report.cells import printed_columns
from semiseg.report.site.data import Built, Definition, read_built
from semiseg.report.views import VIEWS
from semiseg.scoring.conventions import CONVENTIONS, SUFFIXES
from semiseg.stages.site import write_pages

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from support.browser import CHROMIUM, Browser  # noqa: E402

TABLES, ROWS, CASES = 30, 46, 20
TEXTS = {"method", "label", "column", "printed_spread_over", "printed_flag", "reason"}


def synthetic(like: TableSpec, number: int, rows: int) -> TableSpec:
    """A table of the same columns with other rows, none of which has a run."""
    methods = tuple(f"method_{row:02}" for row in range(rows))
    empty = ("own_protocols", "checkpoints", "variants", "same_as", "skipped", "trained_elsewhere", "printed_sha256")
    return like.model_copy(
        update={
            **{key: {} for key in empty},
            "table": f"table_{number:02}",
            "printed": (),
            "seeds": (1,),
            "rows": methods,
            "names": {method: (method.replace("_", " ").capitalize(),) for method in methods},
            "hyper": {method: {"weight": 0.1, "momentum": 0.99} for method in methods},
            "runs": {method: (f"results/runs/d/p/s/{method}/seed1",) for method in methods},
            "reference": methods[0],
        }
    )


def write_table(spec: TableSpec) -> Built:
    """The files of a table with drawn numbers, in the working folder, as the site reads them."""
    generator = np.random.default_rng(len(spec.table))
    columns, methods = printed_columns(spec), list(spec.rows)
    head = {"method": methods, "label": [spec.label(method) for method in methods], "rule": "sound", "unit": "mm"}
    counts = {"labelled": 42, "unlabelled": 378, "seeds": 1, "n": 50, "absent": 3, "missed": 2, "false_positive": 1}
    forms = {}
    for convention in CONVENTIONS:
        scores = pd.DataFrame(generator.uniform(60, 95, (len(methods), len(columns))).round(2), columns=columns)
        forms[SUFFIXES[convention]] = pd.concat(
            [pd.DataFrame({**head, "convention": convention, "spread_over": "cases", **counts}), scores], axis="columns"
        ).assign(**{"Dice SD": 1.23})
    keys = pd.MultiIndex.from_product([methods, columns], names=["method", "column"]).to_frame(index=False)
    views = keys.assign(**{name: generator.uniform(60, 95, len(keys)).round(2) for name in VIEWS if name not in TEXTS})
    forms[".views.csv"] = views.assign(label=views["method"], printed_spread_over="", printed_flag="", reason="")
    cost = ("parameters", "seconds_per_iteration", "waiting_share", "peak_memory_gib", "hours")
    forms[".cost.csv"] = pd.DataFrame({**{n: head[n] for n in ("method", "label")}, **dict.fromkeys(cost, 1.5)}).assign(
        device="GPU"
    )
    lines = pd.MultiIndex.from_product(
        [methods, [1], CONVENTIONS, [f"case_{case:03}" for case in range(CASES)], spec.abbreviations],
        names=["method", "seed", "convention", "case", "organ"],
    ).to_frame(index=False)
    means = [name for name in columns if name not in spec.abbreviations]
    forms[".cases.csv"] = lines.assign(**{name: generator.uniform(60, 95, len(lines)).round(4) for name in means})
    paths = [Path(f"results/{spec.table}{form}") for form in forms]
    Path("results").mkdir(exist_ok=True)
    for path, frame in zip(paths, forms.values(), strict=True):
        frame.to_csv(path, index=False)
    record = write_record("table", as_json(spec), {}, [], paths, {"seed": None, "source": {"commit": "0" * 40}})
    definition = Definition(spec.table, spec.title, spec.paper, spec.dataset, spec.protocol, spec.published, (), {})
    built = read_built(definition, record["id"], "proven")
    assert isinstance(built, Built), built
    return built


def size(folder: Path, pattern: str) -> float:
    """MB of the files of a pattern."""
    return sum(path.stat().st_size for path in folder.glob(pattern)) / 1e6


def processor(browser: Browser, page: str) -> float:
    """Seconds that the main thread of a page computes until it is loaded."""
    browser.open("about:blank")
    before = busy(browser)
    browser.open(page)
    return busy(browser) - before


def busy(browser: Browser) -> float:
    """Seconds that the browser's page has computed so far."""
    metrics = browser.call("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")


def rows(tiny: bool) -> list[Row]:
    count, lines, repeats = (2, 3, 1) if tiny else (TABLES, ROWS, 7)
    like = Graph(Plan(read(ROOT / "params.yaml"))).specs.table("flare22_10pct")
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        tables = [write_table(synthetic(like, number, lines)) for number in range(count)]
        out = Path("results/site/index.html")
        begin = time.process_time()
        write_pages(tables, out, out.with_name("files.sha256"), 2)
        built, what = time.process_time() - begin, f"site of {count} tables x {lines} rows"
        folder, largest = out.parent, max(out.parent.glob("tables/*.html"), key=lambda path: path.stat().st_size)
        read_first = size(folder, "static/site.*")
        found = [
            Row(f"{what}: build, s of processor", built, None, "", target="a minute"),
            Row(f"{what}: index with style and script, MB", size(folder, "*.html") + read_first, None, "", target="2"),
            Row(f"{what}: index and pages of all tables, MB", size(folder, "**/t*/*.html"), None, "", target=""),
            Row(f"{what}: largest page of a table, MB", largest.stat().st_size / 1e6, None, "", target="2"),
        ]
        if CHROMIUM is None:
            return found
        empty = Path(name, "empty.html")
        empty.write_text("<!DOCTYPE html><title>empty</title>", encoding="utf-8")
        with Browser() as browser:
            browser.call("Performance.enable", timeDomain="threadTicks")
            for shown in (out, largest):
                pages = [page.resolve().as_uri() for page in (shown, empty)]
                clock = alternate(*(lambda page=page: browser.open(page) for page in pages), repeats=repeats)
                busy = [statistics.median(processor(browser, page) for _ in range(repeats)) for page in pages]
                for unit, (ours, floor) in {"s": clock, "s of processor": busy}.items():
                    opened = f"{what}: {shown.parent.name}/{shown.name} opens, {unit}"
                    found.append(Row(opened, ours, None, "", floor, "an empty page", "1"))
        return found


if __name__ == "__main__":
    main(rows)
