# What the rules share: the graph of jobs, and the functions that give each rule its inputs, its parameters and the hash
# of its code. Parameters stand in the job's command line. Both are `params` of the rule, so that an edit of parameters
# or code reruns the rules that depend on it and no others.
import atexit
import functools
import gc
import inspect

from semiseg.graph.split_lists import list_state

# Planning creates millions of objects that stay until the end. Python's garbage collector would look through all of them
# again and again, and once more when the process ends: with its default thresholds, planning takes a quarter more
# processor time, and without the freezing at the end another fifth.
gc.set_threshold(100_000, 50)
atexit.register(gc.freeze)

# Snakemake's own `configfile` reads by YAML 1.1, where 1e-05 is text, and keeps the last of two equal keys. `config` has
# what the options --config and --configfile give.
try:
    for more in workflow.overwrite_configfiles:
        load(read_text(Path(more)), str(more))
    GRAPH = Graph(Plan(read(Path("params.yaml"), config)))
except UserError as error:
    raise WorkflowError(str(error)) from None


def attempt(action, otherwise):
    """Call a function; where this version of Snakemake does not allow it, log a warning with the consequence."""
    try:
        action()
    except adapter.UnavailableError as error:
        logger.warning(f"{otherwise}: {error}")


def choose_environment():
    """Let jobs run the `semiseg` of the conda environment that they enter, or the planner's where it holds none."""
    if adapter.enters_conda(workflow):
        shell.prefix(
            f'export PATH="$PATH":{shlex.quote(str(Path(sys.executable).parent))}; '
        )


attempt(choose_environment, "jobs run outside the conda environments of their rules")

FIRST = []  # actions with their consequences, in the order of their calls


def before_planning(otherwise):
    """Decorator: the function runs once, before the first job is planned. While this file is read that would be too
    early, because Snakemake has not yet settled whether this call is a dry run. It has when it requests the inputs
    of the first job. otherwise: what follows where this version of Snakemake does not allow it.
    """
    return lambda action: FIRST.append((action, otherwise))


def run_first_actions():
    """Run the functions that wait for the beginning of planning."""
    while FIRST:
        attempt(*FIRST.pop(0))


def answer_or_exit(question):
    """An input or params function for Snakemake. A user's mistake ends the call with one sentence and exit status 2."""

    def answer(wildcards):
        try:
            run_first_actions()
            return question(wildcards)
        except UserError as error:
            logger.error(f"error: {error}")
            sys.exit(2)

    # Snakemake reads the signature several times for each job, and inspects the function where this is not set.
    answer.__signature__ = inspect.signature(answer)
    return answer


def job(output):
    """Input files by name, parameters as one line of JSON, and the hash of the code: three functions of the wildcards.
    output: the main output of the rule."""
    return (
        answer_or_exit(lambda wildcards: GRAPH.of(output, wildcards).inputs),
        answer_or_exit(lambda wildcards: as_text(GRAPH.of(output, wildcards).spec)),
        answer_or_exit(lambda wildcards: GRAPH.of(output, wildcards).code),
    )


def options(wildcards, input):
    """Options of a job's command for those inputs that not every job of its rule has."""
    return " ".join(f"--{name} {path}" for name, path in input.items())


@answer_or_exit
def state_of_training(wildcards):
    """The state that the training of the predicted weights has left. Not a function of `input`, whose results Snakemake
    would not note (semiseg.engine.snakemake_memory)."""
    return state_folder(
        GRAPH.of(f"{RUN}/predictions.json", wildcards).inputs["weights"]
    )


@functools.cache
def warn_of_list(table):
    """Warn before anything is downloaded. A copy that is here already may hold what the publisher does not offer."""
    if Path(RAW.format(dataset=GRAPH.plan.table(table).dataset)).exists():
        return
    state = list_state(GRAPH.plan, table)
    if not state.can_be_formed:
        logger.warning(f"warning: table {table}: {state.sentence}")


def with_warning(inputs):
    """The input function of tables, which also warns of a list of cases that cannot be formed."""

    def answer(wildcards):
        found = inputs(wildcards)
        warn_of_list(wildcards.table)
        return found

    return answer
