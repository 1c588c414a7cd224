rule score:
    input:
        index=f"{RESULTS}/index.csv",
        fold=f"{RESULTS}/splits/fold{{fold}}.csv",
        model=f"{RESULTS}/runs/{RUN}/model.pt",
        clips=clips_of,
    output:
        f"{RESULTS}/runs/{RUN}/scores.h5",
    log:
        f"{RESULTS}/logs/score/{RUN}.log",
    benchmark:
        f"{RESULTS}/benchmarks/score/{RUN}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: config["compute"]["threads"]
    resources:
        mem_mb=growing(config["compute"]["mem_mb"]),
        runtime=growing(120),
        gpu=config["compute"]["gpus"],
        device=config["compute"]["device"],
        resident=config["compute"]["resident"],
        memory_share=MEMORY_SHARE,
        gpu_share=config["compute"]["gpu_share"],
    params:
        scored="test",
        segments=config["scoring"]["segments"],
        crops=config["scoring"]["crops"],
        recorded_device=RECORDED_DEVICE,
    shell:
        "python -m stp --log {log:q} score {input.model:q} {input.index:q} {input.fold:q} {input.clips:q} --set {params.scored} --segments {params.segments} --crops {params.crops} --device {resources.device:q} --resident {resources.resident} --memory-share {resources.memory_share} --gpu-share {resources.gpu_share} --threads {threads} -o {output:q}"


use rule score as score_hidden with:
    output:
        f"{RESULTS}/runs/{RUN}/hidden.h5",
    log:
        f"{RESULTS}/logs/score_hidden/{RUN}.log",
    benchmark:
        f"{RESULTS}/benchmarks/score_hidden/{RUN}.tsv"
    params:
        scored="hidden",
