# Warped flow starts from the unrounded flow, so one job makes both.
rule flow:
    input:
        f"{RESULTS}/clips/rgb/{{shard}}.h5",
    output:
        expand(
            f"{RESULTS}/clips/{{flow}}/{{{{shard}}}}.h5",
            flow=["of", "wof"] if "wof" in MODALITIES else ["of"],
        ),
    log:
        f"{RESULTS}/logs/flow/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/flow/{{shard}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: config["flow"]["threads"] or config["compute"]["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
        gpu=1 if config["flow"]["backend"] in GPU_FLOW else 0,
    params:
        backend=config["flow"]["backend"],
        semantics=config["flow"]["semantics"],
        bound=config["flow"]["bound"],
        detector=config["warped_flow"]["detector"],
        storage=config["storage"]["format"],
        quality=config["storage"]["quality"],
    shell:
        "python -m stp --log {log:q} extract {input:q} {output:q} --keep --backend {params.backend} --semantics {params.semantics} --bound {params.bound} --detector {params.detector} --storage {params.storage} --quality {params.quality} --threads {threads}"
