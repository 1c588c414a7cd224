# What rule weights checks beside the weights.
CHECKED_PYRAMID = json.dumps(config["pyramid"])
CHECKED_VARIANTS = repeated("--variant", VARIANTS)
CHECKED_METHODS = json.dumps(CONFIG.methods_to_check())
# The videos are looked for here, too, so that all that is missing is reported at once, unless they are in the index
# already.
NEEDED = {
    f"dataset.{key}": DATASET[key]
    for key in ("path", "lists")
    if DATASET[key]
    and "demo" not in config
    and not os.path.exists(f"{RESULTS}/index.csv")
}


# Runs first, so that weights that are missing or do not fit, and options that a method does not have, are reported before
# hours of flow. Pyramids and methods are only checked and leave the output as it is, so they are no params.
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
    params:
        backbone=config["model"]["backbone"],
        weights=config["model"]["weights"],
        width=config["model"]["width"],
        input_size=config["model"]["input_size"],
        written=written(config["model"]["weights"]),
    shell:
        "python -m stp --log {log:q} weights --backbone {params.backbone:q} --weights {params.weights:q} --width {params.width} --input-size {params.input_size} --settings "
        + literal(CHECKED_PYRAMID)
        + f" {CHECKED_VARIANTS} --methods "
        + literal(CHECKED_METHODS)
        + " --needed "
        + literal(json.dumps(NEEDED))
        + " -o {output:q}"


rule train:
    input:
        weights=f"{RESULTS}/weights.json",
        index=f"{RESULTS}/index.csv",
        fold=f"{RESULTS}/splits/fold{{fold}}.csv",
        clips=clips_of,
    output:
        model=f"{RESULTS}/runs/{RUN}/model.pt",
        log=f"{RESULTS}/runs/{RUN}/log.csv",
    log:
        f"{RESULTS}/logs/train/{RUN}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{RUN}.tsv"
    # Only the process that the user started tries again; otherwise each cluster job would do so, too, in its own time.
    retries: config["compute"]["retries"] if workflow.is_main_process else 0
    conda:
        "../../envs/environment.yaml"
    threads: config["compute"]["threads"]
    resources:
        mem_mb=growing(config["compute"]["mem_mb"]),
        runtime=config["compute"]["runtime"],  # the same for each try, which continues the last one
        gpu=config["compute"]["gpus"],
        device=config["compute"]["device"],
        resident=config["compute"]["resident"],
        memory_share=MEMORY_SHARE,
        gpu_share=config["compute"]["gpu_share"],
        micro_batch_videos=config["compute"]["micro_batch_videos"],
        compile=config["compute"]["compile"],
        checkpoint_minutes=str(config["training"]["checkpoint_minutes"]),
    params:
        settings=settings,
        written=lambda wildcards: own_written(METHODS[wildcards.method].options),
        recorded_device=RECORDED_DEVICE,
        state=lambda wildcards, output: folder_of_run("state", output.model),
        tensorboard=lambda wildcards, output: (
            repeated("--tensorboard", [folder_of_run("tensorboard", output.model)])
            if config["training"]["tensorboard"]
            else ""
        ),
    shell:
        "python -m stp --log {log:q} train {input.index:q} {input.fold:q} {input.clips:q} --variant {wildcards.method} --input {wildcards.run_input} --fold {wildcards.fold} --settings {params.settings:q} --seed {wildcards.seed} --state {params.state:q} --checkpoint-minutes {resources.checkpoint_minutes} {params.tensorboard} --device {resources.device:q} --resident {resources.resident} --memory-share {resources.memory_share} --gpu-share {resources.gpu_share} --micro-batch-videos {resources.micro_batch_videos} --compile {resources.compile} --threads {threads} -o {output.model:q} --log-csv {output.log:q}"
