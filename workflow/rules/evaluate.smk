# Extract features once per sample set and network, compute all metrics, and collect them in one table.


rule real_features:
    input:
        f"{PREPARED}/{{dataset}}/manifest.json",
        "data/raw/weights/{network}.json",
        images=f"{PREPARED}/{{dataset}}/images.npy",
    output:
        f"{P}/features/{{network}}/{{dataset}}/real.npz",
    log:
        f"{P}/logs/features/{{network}}_{{dataset}}_real.log",
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=gpus,
        mem_mb=PRESET.training.memory_mb,
        runtime=240,
    params:
        whose=lambda wildcards, input: f"--images {input.images}",
        threads=THREADS,
        code=code("metrics/features.py"),
    message:
        "{wildcards.network} features of {wildcards.dataset}"
    shell:
        "python -m metrics features {params.whose} --network {wildcards.network}"
        " --out {output} --threads {params.threads} > {log} 2>&1"


use rule real_features as sample_features with:
    input:
        "data/raw/weights/{network}.json",
        samples=f"{P}/samples/{{dataset}}/{{method}}/seed{{seed}}.npz",
    output:
        f"{P}/features/{{network}}/{{dataset}}/{{method}}/seed{{seed}}.npz",
    log:
        f"{P}/logs/features/{{network}}_{{dataset}}_{{method}}_seed{{seed}}.log",
    params:
        whose=lambda wildcards, input: f"--samples {input.samples}",
    message:
        "{wildcards.network} features of {wildcards.method} on {wildcards.dataset} (seed {wildcards.seed})"


rule floor:
    input:
        LPIPS_WEIGHTS,
        images=f"{PREPARED}/{{dataset}}/images.npy",
        real=[f"{P}/features/{network}/{{dataset}}/real.npz" for network in PRESET.metrics.networks],
    output:
        fid=f"{P}/metrics/{{dataset}}/floor/seed0/fid.json",
        diversity=f"{P}/metrics/{{dataset}}/floor/seed0/diversity.json",
    log:
        f"{P}/logs/evaluate/{{dataset}}_floor.log",
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=gpus,
        mem_mb=PRESET.training.memory_mb,
        runtime=240,
    params:
        samples="",
        folder=lambda wildcards, output: str(Path(output.fid).parent),
        threads=THREADS,
        settings=diversity_settings(),
        code=code("metrics/diversity.py", "training/protocols.py"),  # which imports metrics/evaluate.py
    message:
        "FID, copies and diversity between the halves of {wildcards.dataset}"
    shell:
        f"python -m metrics evaluate --config {CONFIG} --images {{input.images}} --real {{input.real}}"
        " {params.samples} --out {params.folder} --threads {params.threads} > {log} 2>&1"


use rule floor as evaluate with:
    input:
        LPIPS_WEIGHTS,
        images=f"{PREPARED}/{{dataset}}/images.npy",
        real=[f"{P}/features/{network}/{{dataset}}/real.npz" for network in PRESET.metrics.networks],
        samples=f"{P}/samples/{{dataset}}/{{method}}/seed{{seed}}.npz",
        fake=[f"{P}/features/{network}/{{dataset}}/{{method}}/seed{{seed}}.npz" for network in PRESET.metrics.networks],
        full=[f"{P}/features/inception/{PRESET.metrics.full_set}/real.npz"] if PRESET.metrics.full_set else [],
    output:
        fid=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/fid.json",
        precision_recall=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/precision_recall.json",
        diversity=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/diversity.json",
        copies=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/diversity.npz",
    log:
        f"{P}/logs/evaluate/{{dataset}}_{{method}}_seed{{seed}}.log",
    params:
        samples=lambda wildcards, input: f"--samples {input.samples} --fake {input.fake}"
        + (f" --full {input.full}" if input.full else ""),
        n=PRESET.sampling.n,
    message:
        "FID, recall, copies and diversity of {wildcards.method} on {wildcards.dataset} (seed {wildcards.seed})"


rule backtrack:
    input:
        LPIPS_WEIGHTS,
        run=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/train90/run.json",
        model=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/train90/model.safetensors",
    output:
        scores=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/backtracking.json",
        images=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/backtracking.npz",
    log:
        f"{P}/logs/backtrack/{{dataset}}_{{method}}_seed{{seed}}.log",
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=gpus,
        mem_mb=PRESET.training.memory_mb,
        runtime=DAY,
    params:
        run=lambda wildcards, input: str(Path(input.run).parent),
        threads=THREADS,
        protocol=str(PRESET.metrics.backtracking),
        code=code("metrics/lpips_backtracking.py", "training/protocols.py"),
    message:
        "LPIPS backtracking of {wildcards.method} on {wildcards.dataset} (seed {wildcards.seed})"
    shell:
        f"python -m metrics backtrack --config {CONFIG} --run {{params.run}} --out {{output.scores}}"
        " --threads {params.threads} > {log} 2>&1"


rule collect:
    input:
        metric_files(),
    output:
        f"{P}/metrics.csv",
    log:
        f"{P}/logs/collect.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=30,
    params:
        code=code("metrics/collect.py"),
    message:
        "collecting every number into {output}"
    script:
        "../scripts/collect.py"
