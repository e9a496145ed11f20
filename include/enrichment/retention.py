"""Which runs' folders are kept: the last ones, those at work, and the one that a published output came from."""

import logging
from collections.abc import Callable

from include.common.storage import Place, remove_folder
from include.enrichment.results import read_manifest
from include.enrichment.run import RunFolder, run_folders

log = logging.getLogger(__name__)


def prune(storage: Place, pipeline: str, keep: int, in_progress: Callable[[list[str]], set[str]]) -> list[str]:
    """Remove the folders of runs older than the last `keep`; returns the run ids.

    Kept in any case: runs that `in_progress` finds among the ids it is given, and the newest that published its
    output, as long as a newer one has not replaced it.
    """
    folders = run_folders(storage, pipeline)
    old = folders[keep:]
    if not old:
        return []
    busy = in_progress([folder.run_id for folder in old])
    removed = []
    for index, folder in enumerate(old, start=keep):
        if folder.run_id in busy or _holds_output(folder, folders[:index]):
            continue
        remove_folder(folder.path)
        removed.append(folder.run_id)
    if removed:
        log.info("removed the folders of %d old runs, the last %d are kept", len(removed), keep)
    return removed


def _holds_output(folder: RunFolder, newer: list[RunFolder]) -> bool:
    """Whether what this run published is still what stands there."""
    output = _published(folder)
    return output is not None and all(_published(other) != output for other in newer)


def _published(folder: RunFolder) -> str | None:
    """The output that a run published, None where it published nothing."""
    manifest = read_manifest(folder)
    return str(manifest["plan"]["output"]) if manifest and manifest["state"] == "success" else None
