"""Which runs' folders are kept: the last ones, those at work, and the one that the pipeline's output came from."""

import logging
from collections.abc import Callable

from include.common.storage import Place, remove_folder
from include.enrichment.results import read_manifest
from include.enrichment.run import RunFolder, run_folders

log = logging.getLogger(__name__)


def prune(
    storage: Place, pipeline: str, keep: int, in_progress: Callable[[list[str]], set[str]], output: str
) -> list[str]:
    """Remove the folders of runs older than the last `keep`; returns the run ids.

    Kept in any case: runs that `in_progress` finds among the ids it is given, and the newest that published `output`,
    the pipeline's own, whole. Outputs of other names keep no folder: each run may have named another.
    """
    folders = run_folders(storage, pipeline)
    if not folders[keep:]:
        return []
    # Mostly one of the last few; each manifest is read at most once.
    source = next((folder for folder in folders if _published(folder) == output), None)
    old = [folder for folder in folders[keep:] if folder is not source]
    busy = in_progress([folder.run_id for folder in old]) if old else set()
    removed = []
    for folder in old:
        if folder.run_id not in busy:
            remove_folder(folder.path)
            removed.append(folder.run_id)
    if removed:
        log.info("removed the folders of %d old runs, the last %d are kept", len(removed), keep)
    return removed


def _published(folder: RunFolder) -> str | None:
    """The output that a run published whole, None where it published none."""
    manifest = read_manifest(folder)
    whole = manifest and manifest["state"] == "success" and not manifest.get("partial")
    return str(manifest["plan"]["output"]) if manifest and whole else None
