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


# Frames of the first-person videos of the same clips.
use rule frames as first_person_frames with:
    input:
        f"{RESULTS}/first_person.csv",
    output:
        f"{RESULTS}/clips/first/{{shard}}.h5",
    log:
        f"{RESULTS}/logs/frames_first/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/frames_first/{{shard}}.tsv"
    params:
        shards=config["shards"],
        width=config["frames"]["width"],
        height=config["frames"]["height"],
        storage=f"{FRAME_STORAGE} --modality first",
        quality=config["storage"]["quality"],
