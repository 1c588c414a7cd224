rule frames:
    input:
        f"{RESULTS}/index.csv",
    output:
        f"{RESULTS}/clips/rgb/{{shard}}.h5",
    log:
        f"{RESULTS}/logs/frames/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/frames/{{shard}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
        gpu=0,
    params:
        shards=config["shards"],
        width=config["frames"]["width"],
        height=config["frames"]["height"],
        storage=FRAME_STORAGE,
        quality=config["storage"]["quality"],
    shell:
        "python -m stp --log {log:q} frames {input:q} --keep --shard {wildcards.shard} --shards {params.shards} --width {params.width} --height {params.height} --storage {params.storage} --quality {params.quality} -o {output:q}"
