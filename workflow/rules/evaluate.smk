# Features once per sample set and network; every metric from them; one tidy table of all numbers.


rule real_features:
    input:
        code("metrics/features.py", "metrics/inception.py"),
        f"{PREPARED}/{{dataset}}/manifest.json",
        "data/raw/weights/{network}.json",
        images=f"{PREPARED}/{{dataset}}/images.npy",
    output:
        f"{P}/features/{{network}}/{{dataset}}/real.npz",
    log:
        f"{P}/logs/features/{{network}}_{{dataset}}_real.log",
    conda:
        "../../environment.yml"
    threads: TRAINING["threads"]
    resources:
        gpu=gpus,
        mem_mb=TRAINING["memory_mb"],
    params:
        threads=TRAINING["threads"],
    message:
        "{wildcards.network} features of {wildcards.dataset}"
    shell:
        "python -m metrics features --images {input.images} --network {wildcards.network}"
        " --out {output} --threads {params.threads} > {log} 2>&1"


rule sample_features:
    input:
        code("metrics/features.py", "metrics/inception.py"),
        "data/raw/weights/{network}.json",
        samples=f"{P}/samples/{{dataset}}/{{method}}/seed{{seed}}.npz",
    output:
        f"{P}/features/{{network}}/{{dataset}}/{{method}}/seed{{seed}}.npz",
    log:
        f"{P}/logs/features/{{network}}_{{dataset}}_{{method}}_seed{{seed}}.log",
    conda:
        "../../environment.yml"
    threads: TRAINING["threads"]
    resources:
        gpu=gpus,
        mem_mb=TRAINING["memory_mb"],
    params:
        threads=TRAINING["threads"],
    message:
        "{wildcards.network} features of {wildcards.method} on {wildcards.dataset} (seed {wildcards.seed})"
    shell:
        "python -m metrics features --samples {input.samples} --network {wildcards.network}"
        " --out {output} --threads {params.threads} > {log} 2>&1"


rule evaluate:
    input:
        code("metrics/evaluate.py"),
        real=[f"{P}/features/{network}/{{dataset}}/real.npz" for network in networks()],
        fake=[f"{P}/features/{network}/{{dataset}}/{{method}}/seed{{seed}}.npz" for network in networks()],
    output:
        fid=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/fid.json",
        precision_recall=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/precision_recall.json",
    log:
        f"{P}/logs/evaluate/{{dataset}}_{{method}}_seed{{seed}}.log",
    conda:
        "../../environment.yml"
    threads: TRAINING["threads"]
    params:
        settings=metric_settings("n_fake", "precision_recall"),
    message:
        "FID, KID, precision and recall of {wildcards.method} on {wildcards.dataset} (seed {wildcards.seed})"
    shell:
        "python -m metrics evaluate --real {input.real} --fake {input.fake} --settings {params.settings:q}"
        " --out-fid {output.fid} --out-pr {output.precision_recall} > {log} 2>&1"


rule floor:
    input:
        code("metrics/evaluate.py"),
        real=f"{P}/features/inception/{{dataset}}/real.npz",
    output:
        f"{P}/metrics/{{dataset}}/floor/seed0/fid.json",
    log:
        f"{P}/logs/evaluate/{{dataset}}_floor.log",
    conda:
        "../../environment.yml"
    params:
        settings=metric_settings(),
    message:
        "FID between the halves of {wildcards.dataset}"
    shell:
        "python -m metrics floor --real {input.real} --settings {params.settings:q} --out {output} > {log} 2>&1"


rule backtrack:
    input:
        "metrics/lpips_backtracking.py",
        "metrics/perceptual.py",
        "metrics/protocols.py",
        "data/raw/weights/lpips_{}.json".format(BACKTRACKING["net"]),
        run=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/train90/run.json",
        model=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/train90/model.safetensors",
    output:
        scores=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/backtracking.json",
        images=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/backtracking.npz",
    log:
        f"{P}/logs/backtrack/{{dataset}}_{{method}}_seed{{seed}}.log",
    conda:
        "../../environment.yml"
    threads: TRAINING["threads"]
    resources:
        gpu=gpus,
        mem_mb=TRAINING["memory_mb"],
    params:
        run=lambda wildcards, input: str(Path(input.run).parent),
        threads=TRAINING["threads"],
        settings=metric_settings("backtracking"),
    message:
        "LPIPS backtracking of {wildcards.method} on {wildcards.dataset} (seed {wildcards.seed})"
    shell:
        "python -m metrics backtrack --run {params.run} --settings {params.settings:q}"
        " --out {output.scores} --threads {params.threads} > {log} 2>&1"


rule collect:
    input:
        code("metrics/collect.py"),
        files=metric_files(),
    output:
        f"{P}/metrics.csv",
    log:
        f"{P}/logs/collect.log",
    conda:
        "../../environment.yml"
    message:
        "collecting every number into {output}"
    shell:
        "python -m metrics collect {input.files} --out {output} > {log} 2>&1"
