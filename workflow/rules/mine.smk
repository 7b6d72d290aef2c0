# Your own pictures: their copies, and an estimate of the time before the trainings start.


ruleorder: adopt_pictures > fetch_dataset


rule adopt_pictures:
    output:
        f"data/raw/{MINE}/fetched.json",
    log:
        f"results/logs/fetch/{MINE}.log",
    conda:
        "../../environment.yml"
    params:
        # Neither the folder nor its names are here: Snakemake would read their braces as wildcards.
        pictures=lambda wildcards: read_json(MINE_RECORD)["digest"],
        code=code("data/mine.py"),
    message:
        "copying your pictures"
    shell:
        "python -m data adopt > {log} 2>&1"


rule estimate:
    input:
        f"{PREPARED}/{MINE}/manifest.json",
        [f"data/raw/weights/{network}.json" for network in weights()],
    output:
        ESTIMATE,
    log:
        f"{P}/logs/estimate.log",
    priority: 20
    conda:
        "../../environment.yml"
    resources:
        gpu=gpus,
        mem_mb=PRESET.training.memory_mb,
    params:
        pictures=dataset_info(MINE).count,
        identity=digest([config_hash(PRESET.run(*cell, "full")) for cell in PRESET.cells()]),
    message:
        "timing a few steps of each method"
    shell:
        f"python -m training plan --config {CONFIG} 2> {{log}} | tee {{output}}"
