# The code that is planned and recorded is the code in this folder, if it holds any.
# Two calls of Snakemake in one folder would delete each other's outputs. The second one ends at once and names the
# first. After a call that was killed, the next one goes on without any command to unlock the folder.
import os

from semiseg.base.progress import set_up_logging
from semiseg.base.surroundings import complete
from semiseg.engine.project_lock import check_writable, claim_project
from semiseg.jobs.checkout import check_checkout
from semiseg.jobs.run import ALL_RULES, REDONE

complete()
set_up_logging()


def check_folder():
    if adapter.is_main_call(workflow) and "--lint" not in sys.argv:
        try:
            check_checkout()
            check_writable()
        except UserError as error:
            raise WorkflowError(str(error)) from None


attempt(
    check_folder,
    "neither the code in this folder nor whether it can be written is checked",
)


@before_planning("another call in this folder is not noticed")
def claim():
    if adapter.will_run_jobs(workflow) and adapter.locks_its_folder(workflow):
        claim_project()


@before_planning("jobs are done anew although their inputs came out as before")
def name_redone_rules():
    """Jobs inherit the environment of the call, on the nodes of a cluster, too."""
    if adapter.is_main_call(workflow):
        forced = adapter.forced_rules(workflow)
        os.environ[REDONE] = ALL_RULES if forced is None else " ".join(sorted(forced))
