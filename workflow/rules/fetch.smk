# All downloads.  Only the records are declared as outputs: Snakemake deletes outputs before a job, and a complete
# download must not be repeated.
# The nodes of a cluster often reach no network; the login node does.
localrules:
    fetch,
    fetch_dataset,
    fetch_weights,


rule fetch_dataset:
    output:
        "data/raw/{dataset}/fetched.json",
    log:
        "results/logs/fetch/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        entry=dataset_entry,
        supplied=lambda wildcards: supplied(wildcards.dataset),
    message:
        "fetching the images of {wildcards.dataset}"
    shell:
        "python -m data fetch {wildcards.dataset} > {log} 2>&1"


rule fetch_weights:
    output:
        update("data/raw/weights/{network}.json"),  # not deleted: it says whether the weights are intact
    log:
        "results/logs/fetch/weights_{network}.log",
    conda:
        "../../environment.yml"
    params:
        entry=lambda wildcards: digest(read_yaml("networks/weights.yaml")[wildcards.network]),
    message:
        "fetching the weights of {wildcards.network}"
    shell:
        "python -m networks fetch {wildcards.network} > {log} 2>&1"


rule fetch:
    input:
        expand("data/raw/{dataset}/fetched.json", dataset=datasets_to_fetch()),
        expand("data/raw/weights/{network}.json", network=weights()),
