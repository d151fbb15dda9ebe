# Raw data, prepared cases, splits. Every rule hands on a small manifest, never volumes: thousands of files would slow the
# planner, and touching them would rerun everything.


rule raw:
    """Draw a synthetic dataset, import the user's copy of a real one, or say how to get it."""
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
            "semiseg.stages.raw", f"semiseg.datasets.{wildcards.dataset}"
        ),
    shell:
        "semiseg --log {log} raw --spec {params.spec:q} --workers {threads} --out {output}"


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
        code=code_hash("semiseg.stages.split"),
    shell:
        "semiseg --log {log} split --spec {params.spec:q} --raw {input} --out {output}"
