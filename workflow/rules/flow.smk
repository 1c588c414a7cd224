rule flow:
    input:
        f"{RESULTS}/clips/rgb/{{shard}}.h5",
    output:
        f"{RESULTS}/clips/of/{{shard}}.h5",
    log:
        f"{RESULTS}/logs/flow/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/flow/{{shard}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: config["compute"]["threads"]
    resources:
        mem_mb=4000,
        runtime=720,
    params:
        backend=config["flow"]["backend"],
        bound=config["flow"]["bound"],
    shell:
        "python -m stp --log {log:q} flow {input:q} --backend {params.backend} --bound {params.bound} --threads {threads} -o {output:q}"
