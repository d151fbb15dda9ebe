# Parameters and code as the rules see them. Each job carries its exact parameters in its command line, and a hash of the
# code it runs among its params, so that an edit reruns the rules that use it and no others.

try:
    PLAN = Plan(parse_params(config))
except UserError as error:
    raise WorkflowError(str(error)) from None


def told(question):
    """Ask the plan; a user's mistake becomes Snakemake's own kind of error."""

    def answer(wildcards):
        try:
            return question(wildcards)
        except UserError as error:
            raise WorkflowError(str(error)) from None

    return answer


def spec(question):
    """The job's parameters as one line of JSON."""
    return told(lambda wildcards: as_text(question(wildcards)))


def run_of(wildcards):
    return Run(
        wildcards.dataset,
        wildcards.protocol,
        wildcards.split,
        wildcards.method,
        int(wildcards.seed),
    )


def plugged_in(wildcards):
    """Modules that a run loads by name."""
    network = PLAN.protocol(wildcards.protocol).network.name
    return (
        f"semiseg.methods.{PLAN.base(wildcards.method)}",
        f"semiseg.networks.{network}",
    )


def runs_of(wildcards):
    return PLAN.runs(wildcards.table, wildcards.method)


def figure_files(wildcards):
    """What a figure shows: rows for bars, else what finished runs left. What cannot be drawn is told before training."""
    check_figure(PLAN.tabulation(wildcards.table), wildcards.figure)
    if wildcards.figure == "bars":
        return PLAN.row_files(wildcards.table)
    return PLAN.page_files(wildcards.table)
