# Files that came from elsewhere (`dvc pull`, `dvc checkout`, a copy) bring their lineage records. Snakemake is told what
# they say before it plans, so that a pulled table reruns nothing, and a stale one is seen to be stale.
from semiseg.engine.snakemake_memory import restore


@before_planning
def remember():
    if workflow.is_main_process:
        commands = {rule.name: rule.shellcmd for rule in workflow.rules}
        try:
            restore(GRAPH, commands)
        except OSError as error:
            logger.warning(f"finished jobs are judged by time alone: {error}")
