# Two Snakemakes in one folder would delete each other's outputs. The second one ends at once and says who works here;
# after one that was killed the next call simply goes on.
from semiseg.base.progress import set_up_logging
from semiseg.engine.project_lock import check_writable, claim_project

set_up_logging()

if workflow.is_main_process and "--lint" not in sys.argv:
    try:
        check_writable()
    except UserError as error:
        raise WorkflowError(str(error)) from None


@before_planning
def claim():
    if is_builder() and workflow.execution_settings.lock:  # not with --nolock
        claim_project()
