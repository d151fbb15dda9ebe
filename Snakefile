# The workflow is workflow/Snakefile. This file makes a bare `snakemake` in the project's folder find it together with
# profiles/default, which Snakemake looks for beside the Snakefile that it was given.
include: "workflow/Snakefile"


rule demo:
    """The default target. It stands here because Snakemake takes no default target from an included file."""
    default_target: True
    input:
        rules.all.input,
