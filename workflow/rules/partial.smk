# When rows of a table fail, the rows that are ready are written to results/<table>.partial.*, with the reason for each
# row that failed. The table's own files are never written then, so that a part is not taken for the whole. The call has
# failed, and its exit status is not 0.

from semiseg.base.texts import some
from semiseg.engine.failures import causes


def write_partial_tables():
    for unbuilt in adapter.unbuilt_tables(workflow):
        table, ready, failed = unbuilt.table, unbuilt.ready, unbuilt.failed
        if not failed:
            continue
        for method, reason in failed.items():
            logger.error(f"{table}: no row {method}: {reason}")
        for error, methods in causes(unbuilt.logs).items():
            logger.error(f"{table}: {some(methods)}: {error}")
        if not ready:
            logger.error(f"{table}: no row has finished, so there is no table")
            continue
        whole = GRAPH.table(table).spec
        runs = {
            method: folders
            for method, folders in whole["runs"].items()
            if method in ready
        }
        partial = as_text({**whole, "failed": failed, "runs": runs})
        rows = [ready[method] for method in whole["rows"] if method in ready]
        out = f"results/{table}.partial.csv"
        shell(
            "semiseg --log results/logs/table/{table}.partial.log table --spec {partial:q} --out {out} {rows}"
        )


onerror:
    attempt(
        write_partial_tables, "rows that are ready are not put into a partial table"
    )
