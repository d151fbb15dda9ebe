# Files that came from elsewhere (`dvc pull`, `dvc checkout`, a copy) bring their lineage records. Snakemake's notes on
# finished jobs are completed from them before it plans. So nothing is made again that is right, and what is stale is.
from semiseg.engine.snakemake_memory import restore


@before_planning("finished jobs are judged by time alone")
def restore_notes():
    if adapter.is_main_call(workflow):
        restore(GRAPH, adapter.shell_commands(workflow), adapter.targets(workflow))
