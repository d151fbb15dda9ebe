# What the jobs that compute on a GPU request, beyond what a profile can express. It comes after the check of the cluster,
# which reads the requests as the profile states them.
from semiseg.base.controls import is_control
from semiseg.engine.gpu_requests import no_gpu_for


@before_planning("controls request a GPU, and runs_per_gpu is not checked")
def request_gpus():
    if adapter.only_reports(workflow):
        return
    runs = runs_per_gpu(requests.all_requests(workflow))
    for rule, number in runs.items():
        if number > 1 and adapter.is_slurm_step(workflow):
            # The SLURM job has its share of a GPU; a step of it that requested a whole one would be refused.
            requests.change_requests(workflow, rule, share_of("shard"))
        requests.change_requests(workflow, rule, no_gpu_for(is_control))
    # A row with imported weights is not trained: its weights are copied under our names.
    requests.change_requests(workflow, "train", no_gpu_for(GRAPH.plan.imported))
    if not adapter.submits_to_slurm(workflow):
        requests.multiply_limit(workflow, "gpu", max(runs.values()))
