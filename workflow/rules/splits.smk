rule splits:
    input:
        f"{RESULTS}/index.csv",
    output:
        expand(f"{RESULTS}/splits/fold{{fold}}.csv", fold=FOLDS),
    log:
        f"{RESULTS}/logs/splits.log",
    benchmark:
        f"{RESULTS}/benchmarks/splits.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        scheme=config["splits"]["scheme"],
        seed=config["splits"]["seed"],
    shell:
        "python -m stp --log {log:q} splits {input:q} {output:q} --scheme {params.scheme} --seed {params.seed}"
