# One run: (dataset, protocol, split, method, seed), shared by every table that needs it.


train_inputs, train_spec, train_code = job(f"{RUN}/weights.safetensors")


rule train:
    """Train one method once. A killed job continues from its state, which Snakemake does not know and cannot delete."""
    input:
        unpack(train_inputs),
    output:
        out=f"{RUN}/weights.safetensors",
        history=f"{RUN}/history.csv",
        cost=f"{RUN}/cost.json",
    log:
        "results/logs/train/{dataset}.{protocol}.{split}.{method}.seed{seed}{checkpoint}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 1
    resources:
        gpu=1,
        runs_per_gpu=1,
        checkpoint_seconds=120,
        data_on_device=0,
        local_disk="",
        mem_mb=16000,
        runtime=2880,
    params:
        spec=train_spec,
        code=train_code,
        state=STATE,
        files=options,
    shell:
        "semiseg --log {log} train --spec {params.spec:q} --code {params.code}"
        " {params.files}"
        " --state {params.state} --threads {threads} --gpu {resources.gpu} --runs-per-gpu {resources.runs_per_gpu} --out {output.out}"
        " --checkpoint-seconds {resources.checkpoint_seconds} --data-on-device {resources.data_on_device}"
        " --local-disk={resources.local_disk:q} --history {output.history} --cost {output.cost}"


predict_inputs, predict_spec, predict_code = job(f"{RUN}/predictions.json")


rule predict:
    """Label maps of the test cases, on the prepared grid and in the geometry of the raw image."""
    input:
        unpack(predict_inputs),
    output:
        out=f"{RUN}/predictions.json",
    log:
        "results/logs/predict/{dataset}.{protocol}.{split}.{method}.seed{seed}{checkpoint}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 1
    resources:
        gpu=1,
        runs_per_gpu=1,
        mem_mb=16000,
        runtime=480,
    params:
        spec=predict_spec,
        code=predict_code,
        state=state_of_training,
    shell:
        "semiseg --log {log} predict --spec {params.spec:q} --code {params.code}"
        " --weights {input.weights} --prepared {input.prepared}"
        " --split {input.split} --state {params.state} --threads {threads} --gpu {resources.gpu} --runs-per-gpu {resources.runs_per_gpu}"
        " --out {output.out}"


evaluate_inputs, evaluate_spec, evaluate_code = job(f"{RUN}/cases.csv")


rule evaluate:
    """Voxel counts and surface distances of every test case and organ; rules of scoring are applied later."""
    input:
        unpack(evaluate_inputs),
    output:
        out=f"{RUN}/cases.csv",
    log:
        "results/logs/evaluate/{dataset}.{protocol}.{split}.{method}.seed{seed}{checkpoint}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        spec=evaluate_spec,
        code=evaluate_code,
    shell:
        "semiseg --log {log} evaluate --spec {params.spec:q} --code {params.code}"
        " --predictions {input.predictions} --prepared {input.prepared}"
        " --raw {input.raw} --workers {threads} --out {output.out}"
