# Raw data, prepared cases, splits. The output of every rule is one small manifest, never the volumes: thousands of files
# would slow the planner, and a changed time of one of them would rerun everything.


standin_inputs, standin_spec, standin_code = job(STANDIN)


rule standin:
    """Draw the synthetic twin of a dataset: what its server would answer, and what a registered user would bring."""
    input:
        unpack(standin_inputs),
    output:
        out=STANDIN,
    log:
        "results/logs/standin/{dataset}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=standin_spec,
        code=standin_code,
    shell:
        "semiseg --log {log} standin --spec {params.spec:q} --code {params.code}"
        " --workers {threads} --out {output.out}"


download_inputs, download_spec, download_code = job(ARCHIVES)


rule download:
    """Fetch the open archives of a dataset; a cut transfer continues, and what is whole is not fetched again."""
    input:
        unpack(download_inputs),
    output:
        out=ARCHIVES,
    log:
        "results/logs/download/{dataset}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 2
    resources:
        mem_mb=1000,
        runtime=1440,
    params:
        spec=download_spec,
        code=download_code,
        sources=options,
    shell:
        "semiseg --log {log} download --spec {params.spec:q} --code {params.code}"
        " {params.sources} --workers {threads} --out {output.out}"


raw_inputs, raw_spec, raw_code = job(RAW)


rule raw:
    """Draw a phantom, bring the user's copy or downloaded archives into the raw folder, or stop with a message on how to get the data."""
    input:
        unpack(raw_inputs),
    output:
        out=RAW,
    log:
        "results/logs/raw/{dataset}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        spec=raw_spec,
        code=raw_code,
        sources=options,
    shell:
        "semiseg --log {log} raw --spec {params.spec:q} --code {params.code}"
        " {params.sources} --workers {threads} --out {output.out}"


weights_inputs, weights_spec, weights_code = job(WEIGHTS)


rule weights:
    """Check a file of weights that the user has brought, or stop with a message on how to bring it."""
    input:
        unpack(weights_inputs),
    output:
        out=WEIGHTS,
    log:
        "results/logs/weights/{weights}.log",
    conda:
        "../envs/semiseg.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=weights_spec,
        code=weights_code,
        origin=lambda wildcards, input: GRAPH.plan.origin(wildcards.weights),
    shell:
        "semiseg --log {log} weights --spec {params.spec:q} --code {params.code} --origin={params.origin:q}"
        " --out {output.out}"


prepare_inputs, prepare_spec, prepare_code = job(PREPARED)


rule prepare:
    """Orientation, intensities, resampling, crops: one file per case, listed in an index."""
    input:
        unpack(prepare_inputs),
    output:
        out=PREPARED,
    log:
        "results/logs/prepare/{dataset}.{preparation}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, threads: 4000 * threads,
        runtime=480,
    params:
        spec=prepare_spec,
        code=prepare_code,
    shell:
        "semiseg --log {log} prepare --spec {params.spec:q} --code {params.code}"
        " --raw {input.raw} --workers {threads} --out {output.out}"


split_inputs, split_spec, split_code = job(SPLIT)


rule split:
    """Labelled, unlabelled, validation and test cases: an official list, or drawn from a seed."""
    input:
        unpack(split_inputs),
    output:
        out=SPLIT,
    log:
        "results/logs/split/{dataset}.{split}.log",
    conda:
        "../envs/semiseg.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=split_spec,
        code=split_code,
    shell:
        "semiseg --log {log} split --spec {params.spec:q} --code {params.code}"
        " --raw {input.raw} --out {output.out}"
