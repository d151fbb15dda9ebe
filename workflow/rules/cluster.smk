# Jobs on a SLURM cluster: what the profile asks for is checked before the first one, and jobs of a killed call are settled.


# These take seconds, a SLURM job takes longer to start; and compute nodes often have no way out to download. They run
# where Snakemake runs.
localrules:
    download,
    split,
    row,
    table,
    figure,


def limits(made):
    """What the jobs of a rule ask of SLURM at their last try; what depends on the single job is left out."""
    from semiseg.engine.slurm_check import Need

    known = {
        "input": (),
        "attempt": 1 + workflow.execution_settings.retries,
        "threads": made.resources["_cores"].value,
        "rulename": made.name,
        "async_run": None,
    }

    def asked(name):
        try:
            return made.resources[name].evaluate(None, **known).value
        except (
            Exception
        ):  # not given, or an expression of wildcards or inputs, which a single job has
            return None

    gres = [str(asked("gres")).partition(":")[0]] if asked("gres") else []
    return Need(
        made.name,
        partition=asked("slurm_partition"),
        account=asked("slurm_account"),
        gres=tuple([*gres, "gpu"] if asked("gpu") else gres),
        minutes=asked("runtime"),
        memory_mb=asked("mem_mb"),
        constraint=asked("constraint"),
        qos=asked("qos"),
    )


@before_planning
def ask_cluster():
    """Check the cluster, then wait for what an earlier call left there. After the claim of the folder (alone.smk)."""
    if not is_builder() or workflow.executor_plugin.name != "slurm":
        return
    from semiseg.engine.slurm_check import check
    from semiseg.engine.slurm_jobs import settle

    settings = workflow.executor_settings
    check(
        [limits(made) for made in workflow.rules if not workflow.is_local(made)],
        settings.status_command,
        settings.init_seconds_before_status_checks,
    )
    settle(Path.cwd())
