# What remains of a table when some of its rows fail: the others, with a word on each that failed, in <table>.partial.*;
# never the table's own files, so that nobody takes it for whole. The call itself has failed, and its exit status says so.


def first_failure(dag, job, waiting):
    """The job that kept this one from running: the first of its chain that did not finish."""
    blocked = [before for before in dag.dependencies[job] if before in waiting]
    return first_failure(dag, blocked[0], waiting) if blocked else job


def unbuilt_tables(dag):
    """Per table that this call did not build: the rows that are ready, and for the others why they are not."""
    waiting = set(dag.needrun_jobs())
    for table in (job for job in waiting if job.rule.name == "table"):
        rows = [job for job in dag.dependencies[table] if job.rule.name == "row"]
        blocked = {
            row: first_failure(dag, row, waiting) for row in rows if row in waiting
        }
        failed = {
            row.wildcards.method: f"{job.rule.name} did not finish, see {job.log[0]}"
            for row, job in blocked.items()
        }
        ready = {
            row.wildcards.method: row.output[0] for row in rows if row not in waiting
        }
        yield table.wildcards.table, ready, failed


onerror:
    for table, ready, failed in unbuilt_tables(workflow.dag):
        if not failed:
            continue
        for method, reason in failed.items():
            logger.error(f"{table}: no row {method}: {reason}")
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
