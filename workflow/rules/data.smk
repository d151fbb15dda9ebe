# Raw data, prepared cases, splits. Every rule hands on a small manifest, never volumes: thousands of files would slow the
# planner, and touching them would rerun everything.


rule standin:
    """Draw the synthetic twin of a dataset: what its server would answer, and what a registered user would bring."""
    output:
        STANDIN,
    log:
        "results/logs/standin/{dataset}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=spec(lambda wildcards: PLAN.standin(wildcards.dataset)),
        code=told(
            lambda wildcards: code_hash(
                "semiseg.stages.standin", f"semiseg.standins.{wildcards.dataset}"
            )
        ),
    shell:
        "semiseg --log {log} standin --spec {params.spec:q} --workers {threads} --out {output}"


rule download:
    """Fetch the open archives of a dataset; a cut transfer continues, and what is whole is not fetched again."""
    input:
        unpack(
            told(
                lambda wildcards: {
                    name: path
                    for name, path in PLAN.raw_inputs(wildcards.dataset).items()
                    if name == "standin"
                }
            )
        ),
    output:
        ARCHIVES,
    log:
        "results/logs/download/{dataset}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 2
    resources:
        mem_mb=1000,
        runtime=1440,
    params:
        spec=spec(lambda wildcards: PLAN.download(wildcards.dataset)),
        code=lambda wildcards: code_hash(
            "semiseg.stages.download", f"semiseg.datasets.{wildcards.dataset}"
        ),
        standin=lambda wildcards, input: (
            f" --standin {input.standin}" if "standin" in input.keys() else ""
        ),
    shell:
        "semiseg --log {log} download --spec {params.spec:q}{params.standin} --workers {threads} --out {output}"


rule raw:
    """Draw a phantom, bring the user's copy or downloaded archives into the raw folder, or say how to get the data."""
    input:
        unpack(told(lambda wildcards: PLAN.raw_inputs(wildcards.dataset))),
    output:
        RAW,
    log:
        "results/logs/raw/{dataset}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        spec=spec(lambda wildcards: PLAN.raw(wildcards.dataset)),
        code=lambda wildcards: code_hash(
            "semiseg.stages.raw",
            f"semiseg.datasets.{wildcards.dataset}",
            BRINGING,
        ),
        sources=lambda wildcards, input: "".join(
            f" --{name} {path}" for name, path in input.items()
        ),
    shell:
        "semiseg --log {log} raw --spec {params.spec:q}{params.sources} --workers {threads} --out {output}"


rule prepare:
    """Orientation, intensities, resampling, crops: one chunked file per case, listed in an index."""
    input:
        RAW,
    output:
        PREPARED,
    log:
        "results/logs/prepare/{dataset}.{preparation}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, threads: 4000 * threads,
        runtime=480,
    params:
        spec=spec(
            lambda wildcards: PLAN.preparation(
                wildcards.dataset, wildcards.preparation
            )
        ),
        code=lambda wildcards: code_hash(
            "semiseg.stages.prepare", f"semiseg.datasets.{wildcards.dataset}"
        ),
    shell:
        "semiseg --log {log} prepare --spec {params.spec:q} --raw {input} --workers {threads} --out {output}"


rule split:
    """Labelled, unlabelled, validation and test cases: an official list, or drawn from a seed."""
    input:
        RAW,
    output:
        SPLIT,
    log:
        "results/logs/split/{dataset}.{split}.log",
    conda:
        "../envs/semiseg.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=spec(lambda wildcards: PLAN.split(wildcards.dataset, wildcards.split)),
        code=lambda wildcards: code_hash(
            "semiseg.stages.split", f"semiseg.datasets.{wildcards.dataset}"
        ),
    shell:
        "semiseg --log {log} split --spec {params.spec:q} --raw {input} --out {output}"
