# The few-shot image synthesis benchmark, from images to report.
#
#   snakemake --cores all --use-conda                        the paper (config/paper.yaml; needs GPUs)
#   snakemake --cores all --configfile config/demo.yaml      the demo (two CPU cores, about 15 minutes)
#   snakemake --cores all --config images=path/to/folder     your own pictures (config/mine.yaml; about 15 minutes)
#   snakemake --cores 1 --configfile config/reference.yaml   tables and figures from the committed numbers (two minutes)
#   snakemake --cores all plan                               estimate the training time on this machine
#   snakemake --cores 1 fetch                                all downloads; everything else works offline
#   snakemake --cores 1 figure1                              Figure 1 (under a minute; needs no data and no GPU)
#   snakemake --cores 1 nn_direction                         Figure 5: IMLE and a 1-nearest-neighbour GAN (two minutes)
from snakemake.utils import min_version

min_version("9.19")


include: "workflow/rules/machine.smk"
include: "workflow/rules/choose.smk"


wildcard_constraints:
    dataset="[A-Za-z0-9_-]+",
    method="[A-Za-z0-9_-]+",
    seed="[0-9]+",
    split="full|train90|train",
    network="[a-z0-9_]+",


if "reference" in config:

    include: "workflow/rules/reference.smk"

    results = rendered

else:

    include: "workflow/rules/common.smk"
    include: "workflow/rules/supplied.smk"
    include: "workflow/rules/fetch.smk"

    if OWN_PICTURES:

        include: "workflow/rules/mine.smk"
    include: "workflow/rules/prepare.smk"
    include: "workflow/rules/train.smk"
    include: "workflow/rules/sample.smk"
    include: "workflow/rules/evaluate.smk"

    if PRESET.tasks:

        include: "workflow/rules/answers.smk"
    include: "workflow/rules/learning.smk"

    if PRESET.datasets:

        include: "workflow/rules/tables.smk"
        include: "workflow/rules/figures.smk"
        include: "workflow/rules/report.smk"
    include: "workflow/rules/figure1.smk"
    include: "workflow/rules/nn_direction.smk"

    if PRESET.tasks:

        include: "workflow/rules/multimodal.smk"
    include: "workflow/rules/plan.smk"

    results = [rules.tables.output, rules.figures.output, rules.report.output] if PRESET.datasets else []
    if PRESET.tasks:
        results.append(rules.multimodal.output)


localrules:
    all,


rule all:
    default_target: True
    input:
        results,
