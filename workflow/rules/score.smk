rule score:
    input:
        index=f"{RESULTS}/index.csv",
        fold=f"{RESULTS}/splits/fold{{fold}}.csv",
        model=f"{RESULTS}/runs/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}/model.pt",
        clips=expand(f"{RESULTS}/clips/{{{{modality}}}}/{{shard}}.h5", shard=SHARDS),
    output:
        f"{RESULTS}/runs/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}/scores.h5",
    log:
        f"{RESULTS}/logs/score/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/score/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: config["compute"]["threads"]
    resources:
        mem_mb=growing(config["compute"]["mem_mb"]),
        runtime=growing(120),
        gpu=config["compute"]["gpus"],
    params:
        scored="test",
        segments=config["scoring"]["segments"],
        crops=config["scoring"]["crops"],
        device=config["compute"]["device"],
        placing=placing,
    shell:
        "python -m stp --log {log:q} score {input.model:q} {input.index:q} {input.fold:q} {input.clips:q} --set {params.scored} --segments {params.segments} --crops {params.crops} --device {params.device:q} {params.placing} --threads {threads} -o {output:q}"


use rule score as score_hidden with:
    output:
        f"{RESULTS}/runs/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}/hidden.h5",
    log:
        f"{RESULTS}/logs/score_hidden/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/score_hidden/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}.tsv"
    params:
        scored="hidden",
