# Jobs as the rules see them. Each job carries its exact parameters in its command line, and a hash of the code it runs
# among its params, so that an edit reruns the rules that use it and no others.
import functools
import gc
import inspect

# A plan is millions of objects that stay; Python's search for garbage among them took a quarter of the planner's time.
gc.set_threshold(100_000, 50)

try:
    GRAPH = Graph(Plan(parse_params(config)))
except UserError as error:
    raise WorkflowError(str(error)) from None


FIRST = []


def before_planning(act):
    """Have something done once, before the first job is planned. While this file is read, Snakemake has not yet settled
    what this call is for, and ``is_builder`` cannot tell; when it asks for a first job's inputs it has.
    """
    FIRST.append(act)
    return act


def plan_first():
    """Do what was asked for ``before_planning``."""
    while FIRST:
        FIRST.pop(0)()


def told(question):
    """Ask the graph; a user's mistake ends this call with one sentence and status 2."""

    def answer(wildcards):
        try:
            plan_first()
            return question(wildcards)
        except UserError as error:
            logger.error(f"error: {error}")
            sys.exit(2)

    # worked out once: Snakemake asks for it several times a job
    answer.__signature__ = inspect.signature(answer)
    return answer


def job(make):
    """Input files by name, parameters as one line of JSON, and the hash of the code: what each job is given."""
    make = functools.cache(make)
    return (
        told(lambda wildcards: make(**wildcards).inputs),
        told(lambda wildcards: as_text(make(**wildcards).spec)),
        told(lambda wildcards: make(**wildcards).code),
    )


def of_run(make):
    """A rule's wildcards as the run that they name."""
    return lambda seed, **names: make(Run(**names, seed=int(seed)))


def options(wildcards, input):
    """Inputs that a job may lack, as options of its command."""
    return " ".join(f"--{name} {path}" for name, path in input.items())


def is_builder():
    """Whether this process plans and runs the workflow: not a dry run, and not the inner call of one job. To be asked in
    what is done ``before_planning``, not while a Snakefile is read."""
    executor = workflow.executor_plugin
    return workflow.is_main_process and executor is not None and not workflow.dryrun
