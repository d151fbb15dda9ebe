# Jobs on a SLURM cluster. Before the first one, what the profile requests is compared with what the cluster offers, and
# jobs that an earlier, killed call left in the queue are cancelled or waited for.
from semiseg.engine import snakemake_requests as requests
from semiseg.engine.gpu_requests import runs_per_gpu, share_of


# These rules run where Snakemake runs: they take seconds, less than the start of a SLURM job, and compute nodes often
# cannot download.
localrules:
    download,
    split,
    weights,
    row,
    table,
    site,
    figure,


@before_planning("what the jobs request of SLURM is not checked")
def check_slurm():
    """Runs after the claim of the folder (alone.smk), because the jobs of a call that still runs are not left over."""
    if not (adapter.will_run_jobs(workflow) and adapter.submits_to_slurm(workflow)):
        return
    from semiseg.engine.slurm_check import check, need_of
    from semiseg.engine.slurm_jobs import settle

    runs = runs_per_gpu(requests.all_requests(workflow))
    submitted = requests.last_requests(workflow)
    shares = check(
        [
            need_of(rule, request, runs.get(rule, 1))
            for rule, request in submitted.items()
        ],
        *adapter.slurm_status_settings(workflow),
    )
    for rule, share in shares.items():
        requests.change_requests(workflow, rule, share_of(share))
    settle(Path.cwd())
