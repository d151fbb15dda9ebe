# One run: (dataset, protocol, split, method, seed), shared by every table that needs it.


rule train:
    """Train one method once. A killed job continues from its state, which Snakemake does not know and cannot delete."""
    input:
        prepared=told(
            lambda wildcards: PLAN.prepared(wildcards.dataset, wildcards.protocol)
        ),
        split=SPLIT,
    output:
        weights=f"{RUN}/weights.safetensors",
        history=f"{RUN}/history.csv",
        cost=f"{RUN}/cost.json",
    log:
        "results/logs/train/{dataset}.{protocol}.{split}.{method}.seed{seed}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=2880,
    params:
        spec=spec(lambda wildcards: PLAN.training(run_of(wildcards))),
        code=told(
            lambda wildcards: code_hash("semiseg.stages.train", *plugged_in(wildcards))
        ),
        state=STATE,
    shell:
        "semiseg --log {log} train --spec {params.spec:q} --prepared {input.prepared} --split {input.split}"
        " --state {params.state} --threads {threads} --out {output.weights} --history {output.history}"
        " --cost {output.cost}"


rule predict:
    """Label maps of the test cases, on the prepared grid and in the geometry of the raw image."""
    input:
        weights=f"{RUN}/weights.safetensors",
        prepared=told(
            lambda wildcards: PLAN.prepared(wildcards.dataset, wildcards.protocol)
        ),
        split=SPLIT,
    output:
        f"{RUN}/predictions.json",
    log:
        "results/logs/predict/{dataset}.{protocol}.{split}.{method}.seed{seed}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=480,
    params:
        spec=spec(lambda wildcards: PLAN.prediction(run_of(wildcards))),
        code=told(
            lambda wildcards: code_hash(
                "semiseg.stages.predict", *plugged_in(wildcards)
            )
        ),
    shell:
        "semiseg --log {log} predict --spec {params.spec:q} --weights {input.weights} --prepared {input.prepared}"
        " --split {input.split} --threads {threads} --out {output}"


rule evaluate:
    """Voxel counts and surface distances of every test case and organ; rules of scoring are applied later."""
    input:
        predictions=f"{RUN}/predictions.json",
        prepared=told(
            lambda wildcards: PLAN.prepared(wildcards.dataset, wildcards.protocol)
        ),
        raw=RAW,
    output:
        f"{RUN}/cases.csv",
    log:
        "results/logs/evaluate/{dataset}.{protocol}.{split}.{method}.seed{seed}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        code=lambda wildcards: code_hash(
            "semiseg.stages.evaluate", f"semiseg.datasets.{wildcards.dataset}"
        ),
    shell:
        "semiseg --log {log} evaluate --predictions {input.predictions} --prepared {input.prepared} --raw {input.raw}"
        " --workers {threads} --out {output}"
