rule warped_flow:
    input:
        rgb=f"{RESULTS}/clips/rgb/{{shard}}.h5",
        of=f"{RESULTS}/clips/of/{{shard}}.h5",
    output:
        f"{RESULTS}/clips/wof/{{shard}}.h5",
    log:
        f"{RESULTS}/logs/warped_flow/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/warped_flow/{{shard}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: config["compute"]["threads"]
    resources:
        mem_mb=4000,
        runtime=720,
    params:
        backend=config["flow"]["backend"],
        detector=config["warped_flow"]["detector"],
    shell:
        "python -m stp --log {log:q} warped-flow {input.rgb:q} {input.of:q} --detector {params.detector} --backend {params.backend} --threads {threads} -o {output:q}"
