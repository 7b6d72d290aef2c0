"""The jobs that a configuration asks for, and refusals; dry runs, which need no data, GPU or torch."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipeline.conftest import ROOT, Completed, assert_refused, copy_project, jobs, run_snakemake

LONGEST_ARGUMENT = 131_072  # bytes: Linux starts no command with a longer one
SMOKE = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
WITHOUT_FFHQ = ("config/paper.yaml", "config/overlays/without_ffhq.yaml")


def dry_run(*arguments: str, config: Path | str | None = "config/paper.yaml", cwd: Path = ROOT) -> Completed:
    return run_snakemake(cwd, *arguments, "--dry-run", "--forceall", config=config and str(config))


def variant(folder: Path, **changes: Any) -> Path:
    """The smoke preset with other values."""
    (folder / "variant.yaml").write_text(yaml.safe_dump({**SMOKE, **changes}))
    return folder / "variant.yaml"


def test_the_paper_has_all_its_jobs_and_planning_them_needs_no_torch(tmp_path: Path) -> None:
    """With --use-conda, only the environment of the jobs has it."""
    (tmp_path / "torch.py").write_text("raise ImportError('torch is blocked')")
    prefix = ("env", f"PYTHONPATH={tmp_path}")
    done = run_snakemake(ROOT, "--dry-run", "--forceall", "--quiet", "rules", prefix=prefix, config="config/paper.yaml")
    counts = jobs(done)
    datasets, methods, controls = 6, 4, 2
    assert counts["fetch_dataset"] == counts["prepare"] == counts["floor"] == datasets
    assert counts["train"] == datasets * (2 * methods + controls)  # full and 90 % of every method; controls once
    assert counts["sample"] == counts["evaluate"] == datasets * (methods + controls)
    assert counts["sample_features"] == 2 * datasets * (methods + controls)  # Inception and VGG16
    assert counts["backtrack"] == datasets * methods
    assert counts["collect"] == counts["report"] == 1


def commands(*arguments: str, config: Path) -> list[str]:
    """The shell commands of all jobs; a `script:` has none."""
    done = dry_run(*arguments, "--printshellcmds", config=config)
    assert done.returncode == 0, done.stderr
    return re.findall(r"^Shell command: (.*)$", done.stdout + done.stderr, flags=re.MULTILINE)


def test_no_command_line_grows_with_the_seeds(tmp_path: Path) -> None:
    found = commands(config=variant(tmp_path, methods={"control_noise": {}}, seeds=list(range(100))))
    assert len(found) >= 400  # train, sample, features and metrics of each seed
    assert max(map(len, found)) < LONGEST_ARGUMENT / 100


def test_only_jobs_that_run_a_network_ask_a_cluster_for_a_gpu_and_much_memory(tmp_path: Path) -> None:
    """Every job states its time, without which a cluster gives it the partition's default.

    Snakemake prints what a job asks for only if its rule has no message.
    """
    project = copy_project(tmp_path / "project")
    for path in project.glob("workflow/rules/*.smk"):
        path.write_text(re.sub(r"    message:\n        .*\n", "", path.read_text()))
    done = dry_run(config=variant(tmp_path, training={"require_gpu": True, "memory_mb": 32000}), cwd=project)
    jobs = re.findall(r"^rule (\w+):\n((?: .*\n)+)", done.stdout + done.stderr, flags=re.MULTILINE)
    submitted = [(rule, job) for rule, job in jobs if rule not in ("all", "fetch_dataset", "fetch_weights")]
    assert {"train", "sample", "evaluate", "figures", "report"} <= {rule for rule, _ in submitted}
    for rule, job in submitted:
        network = rule in ("real_features", "sample_features", "evaluate", "floor") or (
            rule in ("train", "sample", "backtrack") and "method=control" not in job
        )
        assert ("gpu=1" in job) == network, job
        assert ("mem_mb=32000" in job) == (network or rule == "sample"), job
        assert "runtime=" in job and "mem_mb=" in job, job


@pytest.mark.parametrize("target", ["fetch", "results/smoke/runs/openmoji_faces/fastgan/seed0/full/run.json"])
def test_a_network_that_only_one_dataset_uses_is_fetched(tmp_path: Path, target: str) -> None:
    by_dataset = {"openmoji_faces": {"perceptual": "vgg"}}
    fastgan = {"steps": 1, "perceptual": "alex", "by_dataset": by_dataset}
    found = commands(target, config=variant(tmp_path, methods={"fastgan": fastgan}))
    assert any("python -m networks fetch lpips_vgg " in command for command in found), found


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("fastgan/openmoji_faces/0.png", "data/external/fastgan has the name of a method"),
        ("my gan/openmoji_faces/0.png", "data/external/my gan: rename the folder to letters, digits"),
    ],
)
def test_samples_that_the_pipeline_cannot_name_are_refused(tmp_path: Path, place: str, sentence: str) -> None:
    project = copy_project(tmp_path / "project")
    file = project / "data/external" / place
    file.parent.mkdir(parents=True)
    file.touch()
    assert_refused(dry_run(config="config/smoke.yaml", cwd=project), sentence)


@pytest.mark.skipif(shutil.which("conda") is not None, reason="conda is installed here")
def test_use_conda_without_conda_is_one_sentence() -> None:
    assert_refused(dry_run("--use-conda"), "--use-conda needs conda")


def test_names_and_texts_of_a_users_data_sets_pass_through_all_rules(tmp_path: Path) -> None:
    """Hyphens, capitals and names of the pipeline's own files; braces, which Snakemake would take for wildcards."""
    project = copy_project(tmp_path / "project")
    names = ["skin-lesions", "MySet", "real", "floor"]
    texts = dict.fromkeys(["title", "licence", "citation", "attribution"], "My Set {v2} {wildcards.x} {}")
    entry = {**texts, "count": 12, "shareable": True, "split": "seeded", "sources": []}
    with open(project / "data/datasets.yaml", "a") as file:
        file.write(yaml.safe_dump(dict.fromkeys(names, entry)))
    skip = [{"dataset": "MySet", "method": "control_noise", "reason": "{never} {} tried"}]
    config = variant(tmp_path, datasets=names, methods={"control_noise": {}, "control_real": {}}, skip=skip, tables={})
    config = config.rename(project / "my {v2} configuration.yaml")
    assert jobs(dry_run("--quiet", "rules", config=config.name, cwd=project))["evaluate"] == 7


def test_a_task_is_trained_on_the_prepared_images_of_its_data_set() -> None:
    """And what it needs is fetched first: the drawings, and the loss network of its methods."""
    runs = [f"results/multimodal/runs/{task}/cond_imle/seed0/train/run.json" for task in ("people", "faces_4px")]
    done = dry_run(*runs, "fetch", config="config/multimodal.yaml")
    assert done.returncode == 0, done.stderr
    jobs = re.findall(r"^Job \d+: (.*)$", done.stdout + done.stderr, flags=re.MULTILINE)
    said = [job.split(",")[0] for job in jobs]
    assert {f"training cond_imle on {task} (train" for task in ("people", "faces_4px")} <= set(said)
    for dataset in ("openmoji_faces", "openmoji_people"):
        assert f"fetching the images of {dataset}" in said and f"preparing {dataset} at 32 px" in said
    assert "fetching the weights of lpips_alex" in said and "fetching the weights of inception" not in said


@pytest.mark.parametrize(
    ("arguments", "planned", "absent"),
    [
        (["figure1"], "figure1_toy", "rule (fetch|prepare|train)"),
        (["nn_direction"], "preparing openmoji_faces at 32 px", "training adaptive_imle"),
        (["--configfile", *WITHOUT_FFHQ], "fetching the images of panda", "ffhq_100"),
    ],
)
def test_no_job_is_planned_that_the_target_or_the_overlay_does_without(
    arguments: list[str], planned: str, absent: str
) -> None:
    """Figures 1 and 5 need neither data nor the trainings of the default preset."""
    done = dry_run(*arguments, config=None)
    said = done.stdout + done.stderr
    assert (done.returncode, planned in said, re.search(absent, said)) == (0, True, None), said


def planned(config: Path | str) -> dict[str, int]:
    return jobs(dry_run("--quiet", "rules", config=config))


def test_numbers_in_a_list_of_the_command_line_are_numbers() -> None:
    """Snakemake reads them as texts."""
    one, two = (jobs(dry_run("--config", f"seeds={seeds}", config="config/smoke.yaml")) for seeds in ("[0]", "[0, 1]"))
    assert two["train"] == 2 * one["train"]


def test_tasks_alone_have_answers_tables_figures_and_a_page_and_no_other_metrics() -> None:
    found = planned("config/multimodal.yaml")
    assert found["train"] == found["answers"] == 4 * 3 + 1  # the last: rebalanced, on the biased layouts
    assert found["answers_of_control"] == 2 * 2 + 2 * 1
    assert found["multimodal"] == found["nn_direction"] == found["collect"] == 1
    assert not found.keys() & {"evaluate", "real_features", "sample_features", "tables", "figures", "report"}


def test_a_preset_may_have_tasks_beside_data_sets(tmp_path: Path) -> None:
    """Then the page of the tasks is beside the report, and neither part has rows of the other."""
    before = planned("config/smoke.yaml")
    tasks = {"faces": {"kind": "super_resolution", "dataset": "openmoji_faces", "factor": 4}}
    regression = {"cond_regression": {"steps": 2, "perceptual": "alex", "perceptual_upsample": 2}}
    found = planned(variant(tmp_path, tasks=tasks, methods=SMOKE["methods"] | regression))
    added = {"train": 1, "answers": 1, "answers_of_control": 2, "multimodal": 1, "directions": 2, "nn_direction": 1}
    assert {rule: count - before.get(rule, 0) for rule, count in found.items()} == dict.fromkeys(before, 0) | added
