# First of all, because weights that are missing or do not fit should not be found out after hours of flow.
rule weights:
    output:
        f"{RESULTS}/weights.json",
    log:
        f"{RESULTS}/logs/weights.log",
    benchmark:
        f"{RESULTS}/benchmarks/weights.tsv"
    priority: 1
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
        gpu=0,
    params:
        backbone=config["model"]["backbone"],
        weights=config["model"]["weights"],
        width=config["model"]["width"],
        input_size=config["model"]["input_size"],
        written=written(config["model"]["weights"]),
        checking=checking,
    shell:
        "python -m stp --log {log:q} weights --backbone {params.backbone:q} --weights {params.weights:q} --width {params.width} --input-size {params.input_size} {params.checking} -o {output:q}"


rule train:
    input:
        weights=f"{RESULTS}/weights.json",
        index=f"{RESULTS}/index.csv",
        fold=f"{RESULTS}/splits/fold{{fold}}.csv",
        clips=expand(f"{RESULTS}/clips/{{{{modality}}}}/{{shard}}.h5", shard=SHARDS),
    output:
        model=f"{RESULTS}/runs/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}/model.pt",
        log=f"{RESULTS}/runs/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}/log.csv",
    log:
        f"{RESULTS}/logs/train/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}.tsv"
    # By the process that the user started alone: the ones within a cluster's jobs would try again there, time after time.
    retries: config["compute"]["retries"] if workflow.is_main_process else 0
    conda:
        "../../envs/environment.yaml"
    threads: config["compute"]["threads"]
    resources:
        mem_mb=growing(config["compute"]["mem_mb"]),
        runtime=config["compute"]["runtime"],  # does not grow: it goes on where it was
        gpu=config["compute"]["gpus"],
    params:
        settings=settings,
        keeping=keeping,
        device=config["compute"]["device"],
        placing=placing,
        computing=computing,
    shell:
        "python -m stp --log {log:q} train {input.index:q} {input.fold:q} {input.clips:q} --variant {wildcards.variant} --fold {wildcards.fold} --settings {params.settings:q} --seed {wildcards.seed} {params.keeping} --device {params.device:q} {params.placing} {params.computing} --threads {threads} -o {output.model:q} --log-csv {output.log:q}"
