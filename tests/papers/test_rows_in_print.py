"""The tables of SKCDF and PLBOpt: every row finds its numbers in print, and every printed row is a row."""

import pytest
from support import ROOT

from semiseg.graph.plan import Plan
from semiseg.graph.specs import Specs
from semiseg.papers.reading import printed
from semiseg.params.reading import read

PLAN = Plan(read(ROOT / "params.yaml"))
PAPERS = ("skcdf", "plbopt")
TABLES = [name for name, one in PLAN.params.tables.items() if any(block.paper in PAPERS for block in one.printed)]
NOT_IN_PRINT = {"synapse_10pct": {"generic_ssl", "skcdf"}, "amos_2pct": {"generic_ssl", "skcdf"}}


def test_all_tables_of_both_papers_are_there():
    blocks = {(block.paper, block.table) for name in TABLES for block in PLAN.table(name).printed}
    assert blocks == {("skcdf", str(number)) for number in range(1, 6)} | {
        ("plbopt", str(number)) for number in range(1, 10)
    }


@pytest.mark.parametrize("name", TABLES)
def test_rows_and_print_belong_together(name):
    table = PLAN.table(name)
    in_print = {
        row for one in table.printed for row in printed(one.paper, one.table, one.labelled, one.unlabelled)["row"]
    }
    names = {row.method: {row.label or row.method, *row.printed} for row in table.rows}
    assert {method for method, own in names.items() if not own & in_print} == NOT_IN_PRINT.get(name, set())
    assert in_print <= {one for own in names.values() for one in own}


def test_the_family_has_sixteen_rows_and_the_class_imbalance_tables_share_their_runs():
    assert {len(PLAN.table(name).rows) for name in ("synapse_10pct", "synapse_20pct", "amos_2pct", "amos_5pct")} == {16}
    runs = {name: {run for row in PLAN.table(name).rows for run in PLAN.runs(name, row.method)} for name in TABLES}
    assert len(runs["skcdf_t5"]) == 3 * 4, "two rows are one computation"
    assert len(runs["skcdf_t3"] & runs["synapse_20pct"]) == len(runs["skcdf_t3"] & runs["skcdf_t4"]) == 3
    assert len(runs["skcdf_t3"] & runs["skcdf_t5"]) == 3
    assert len(runs["plbopt_t8"] & runs["synapse_10pct"]) == 3 * 10
    assert len(runs["plbopt_t8_amos"] & runs["amos_2pct"]) == 10


@pytest.mark.parametrize("name", [name for name in TABLES if name.endswith("pct")])
def test_every_row_is_trained_by_the_loop_of_its_official_code(name):
    """GenericSSL's window stride, SKCDF's precision and length, URPC's network."""
    own = {
        row: {one.key: one.own for one in found.differences} for row, found in Specs(PLAN).own_protocols(name).items()
    }
    assert own["urpc"]["network.name"] == "unet3d_ds"
    assert (own["skcdf"]["training.epochs"], own["skcdf"]["training.amp"]) == (1500, False)
    assert own["skcdf"]["training.optimiser.lr"] == (0.1 if name.startswith("amos") else 0.3)
    assert own["generic_ssl"]["inference.stride"] == [4, 16, 16]
    assert own["generic_ssl"]["training.augmentation.strong"]["choose"] == 3
    assert set(own) <= {"sup_only", "urpc", "generic_ssl", "skcdf"}
