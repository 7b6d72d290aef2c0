# Train a method.  The resumable state in state/<run hash>/ is not a declared output, so no rerun deletes it; the outputs
# declared here are copies.


rule train:
    input:
        lambda wildcards: f"{PREPARED}/{images_of(wildcards.dataset)}/manifest.json",
        lambda wildcards: expand("data/raw/weights/{network}.json", network=loss_networks(run_of(wildcards))),
        [ancient(ESTIMATE)] if OWN_PICTURES else [],  # it is printed first, and starts no training again
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
    threads: THREADS
    resources:
        gpu=gpus_of_method,
        mem_mb=memory_of_method,
        runtime=DAY,
    params:
        identity=run_identity,
        # Snakemake removes a job's log before each attempt, even while another job writes to it; this file stays.
        attempts="{dataset}_{method}_seed{seed}_{split}.attempts.log",
    message:
        "training {wildcards.method} on {wildcards.dataset} ({wildcards.split}, seed {wildcards.seed})"
    # SLURM signals every process of a job: without the trap, the shell would end before the training has saved its state.
    shell:
        "ln -sf {params.attempts} {log}; trap : TERM; "
        f"python -m training train --config {CONFIG} --dataset {{wildcards.dataset}} --method {{wildcards.method}}"
        " --seed {wildcards.seed} --split {wildcards.split} >> {log} 2>&1"


localrules:
    prune,
    prune_now,


# States of trainings that the configuration no longer asks for: `prune` lists them, `prune_now` removes them.
rule prune:
    log:
        f"{P}/logs/prune.log",
    conda:
        "../../environment.yml"
    params:
        delete="",
    message:
        "looking through state/"
    shell:
        f"python -m training prune --config {ASKED} {{params.delete}} 2>&1 | tee {{log}}"


use rule prune as prune_now with:
    params:
        delete="--delete",
    message:
        "removing superseded states"
