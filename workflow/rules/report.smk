# One page that needs nothing else: tables, figures, curves, provenance.


rule report:
    input:
        run_files("run.json"),
        run_files("history.csv"),
        f"{P}/metrics.csv",
        [f"{PREPARED}/{dataset}/manifest.json" for dataset in datasets_in_use()],
        [f"{P}/tables/table{number}.md" for number in table_numbers()],
        [f"{P}/figures/{figure}.png" for figure in FIGURES],
        settings=f"{P}/rendering.json",
        scripts=code("workflow/scripts/report.py"),
        template="workflow/scripts/report.html.j2",
    output:
        report(f"{P}/report.html", caption="../captions/report.rst", category="Report"),
    log:
        f"{P}/logs/report.log",
    conda:
        "../../environment.yml"
    params:
        results=lambda wildcards, input: str(Path(input.settings).parent),
        prepared=lambda wildcards: PREPARED,
    message:
        "writing {output}"
    shell:
        "python -m workflow.scripts.report --settings {input.settings} --results {params.results}"
        " --prepared {params.prepared} --out {output} > {log} 2>&1"
