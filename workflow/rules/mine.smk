# Your own pictures: their copies, and an estimate of the time before the trainings start.


ruleorder: adopt_pictures > fetch_dataset


# The record names the folder and its files; in parameters, Snakemake would read their braces as wildcards.  It is
# written anew only if it changes, so this also holds after `make clean`, which forgets parameters.
rule adopt_pictures:
    input:
        os.path.relpath(MINE_RECORD),
    output:
        f"data/raw/{MINE}/fetched.json",
    log:
        f"results/logs/fetch/{MINE}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=60,
    params:
        code=code(*LOOKING),
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
        runtime=60,
    params:
        pictures=dataset_info(MINE).count,
        identity=digest([config_hash(PRESET.run(*cell, "full")) for cell in PRESET.cells()]),
    message:
        "timing a few steps of each method"
    shell:
        f"python -m training plan --config {CONFIG} 2> {{log}} | tee {{output}}"
