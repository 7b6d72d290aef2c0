# Only functions: what a user has put into data/external/ and data/manual/.
from functools import cache

from data.datasets import RESERVED
from data.supplied import contents, manual_digest, visible


def check_externals():
    """End before any job with one sentence if a folder of samples cannot be read, where numpy is installed."""
    if externals() and importlib.util.find_spec("numpy") and importlib.util.find_spec("PIL"):
        from data.survey import survey

        with explained():
            for dataset, name, _ in externals():
                survey(Path("data/external", name, dataset))


@cache
def externals():
    """(dataset, name, 0) of every folder data/external/NAME/DATASET: samples of baselines trained elsewhere."""
    folders = [
        folder
        for place in visible(Path("data/external"))
        for folder in visible(place)
        if folder.name in PRESET.datasets
        and PRESET.why_left_out(folder.name, place.name, "full") is None
        and folder.is_dir()
        and visible(folder)
    ]
    for name in {folder.parent.name for folder in folders}:
        if name in PRESET.methods or name == "floor":
            sys.exit(f"error: data/external/{name} has the name of a method in the configuration; rename the folder")
        if not re.fullmatch("[A-Za-z0-9_-]+", name) or name.lower() in RESERVED:
            sys.exit(
                f"error: data/external/{name}: rename the folder to letters, digits, hyphens and underscores, and not to "
                + ", ".join(RESERVED)
            )
    return [(folder.name, folder.parent.name, 0) for folder in folders]


def unused_externals():
    """One sentence for each thing in data/external that gives no row, because of where it is."""
    datasets, notes = ", ".join(PRESET.datasets), []
    for place in visible(Path("data/external")):
        folders = [path for path in visible(place) if path.is_dir()]
        if place.is_file() or len(folders) < len(visible(place)):
            notes.append(f"{place} holds files that are not read: put samples into data/external/NAME/DATASET/")
        for folder in folders:
            if folder.name not in PRESET.datasets:
                notes.append(f"{folder} is not used: the preset has no data set {folder.name!a}, only {datasets}")
            elif not visible(folder):
                notes.append(f"{folder} is empty")
            elif reason := PRESET.why_left_out(folder.name, place.name, "full"):
                notes.append(f"{folder} is not used: {reason}")
    return notes


supplied = cache(manual_digest)  # what data/manual has of a dataset, by content, whatever the dates


@cache
def external_contents(dataset, name):
    """A digest of a folder of samples."""
    return digest(contents(Path("data/external", name, dataset)))
