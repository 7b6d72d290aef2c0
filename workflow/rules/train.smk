# Train a method.  The resumable state lives in state/<run hash>/, undeclared, so that no rerun deletes it; the outputs
# declared here are copies.


rule train:
    input:
        method_sources,
        f"{PREPARED}/{{dataset}}/manifest.json",
        expand("data/raw/weights/{network}.json", network=lpips_networks()),
    output:
        model=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/{{split}}/model.safetensors",
        history=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/{{split}}/history.csv",
        grid=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/{{split}}/grid.png",
        run=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/{{split}}/run.json",
    log:
        f"{P}/logs/train/{{dataset}}_{{method}}_seed{{seed}}_{{split}}.log",
    priority: 10
    conda:
        "../../environment.yml"
    threads: TRAINING["threads"]
    resources:
        gpu=gpus,
        mem_mb=TRAINING["memory_mb"],
    params:
        settings=train_settings,
        out=lambda wildcards, output: str(Path(output.run).parent),
    message:
        "training {wildcards.method} on {wildcards.dataset} ({wildcards.split}, seed {wildcards.seed})"
    shell:
        "python -m methods train --settings {params.settings:q} --out {params.out} > {log} 2>&1"


# States of trainings that the configuration no longer asks for: `prune` lists them, `prune_now` removes them.
rule prune:
    log:
        f"{P}/logs/prune.log",
    conda:
        "../../environment.yml"
    params:
        config=json.dumps(config),
        delete="",
        command=f"snakemake --cores 1 prune_now --configfile {' '.join(config_files())}",
    message:
        "looking through state/"
    shell:
        "python -m methods prune --config {params.config:q} --command {params.command:q} {params.delete}"
        " 2>&1 | tee {log}"


use rule prune as prune_now with:
    params:
        config=json.dumps(config),
        delete="--delete",
        command="",
    message:
        "removing superseded states"
