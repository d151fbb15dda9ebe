"""Restoration of volumes that are missing, or not those of their manifest: prepared cases and predictions.

These volumes are caches. Results that were pulled or copied come with manifests and lineage records, but without
volumes. After the way back from an experiment, the volumes are still those of the experiment. The record beside a
manifest names the job that made the volumes. This job is run again, and its volumes are the same as before if the hash
of the manifest is.
"""

import logging
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.files import sha256, write_text
from semiseg.jobs.code_hash import made_by_this_code
from semiseg.jobs.manifest import unfit_files, volumes_held
from semiseg.jobs.record import read_record
from semiseg.paths import record_path
from semiseg.stages.execution import recorded_task, repeat
from semiseg.stages.rules import RULES
from semiseg.stages.task import Options, Rule, Task

logger = logging.getLogger(__name__)


def restore_inputs(rule: Rule, task: Task) -> None:
    """Restore the volumes that a task reads. Raises UserError as ``restore_volumes`` does."""
    for name in rule.restores:
        restore_volumes(task.files[name], task.options.workers)


def restore_volumes(manifest: Path, workers: int = 1) -> None:
    """Make the volumes of a manifest (``index.json`` of prepared cases, ``predictions.json``) again where one is wrong.

    Nothing happens where all volumes are those that the manifest lists. Raises UserError when they cannot be made as
    they were; the manifest then keeps its content, and the new volumes are deleted.
    """
    if not unfit_files(manifest):
        return
    with volumes_held(manifest):
        unfit = unfit_files(manifest)
        if not unfit:  # another job has made them while this one waited for the lock
            return
        record = read_record(record_path(manifest))
        rule = record["rule"]
        if not made_by_this_code(record):
            raise UserError(f"{manifest} was made by other code, and its volumes are not here: {_remedy(rule)}")
        logger.info(f"{manifest}: {len(unfit)} of its volumes are not here and are made again")
        for path in unfit:
            path.unlink(missing_ok=True)
        before = manifest.read_text(encoding="utf-8")
        restore_inputs(RULES[rule], recorded_task(record, manifest.parent, Options(workers=workers)))
        repeat(record, manifest.parent, workers)
        if sha256(manifest) != record["outputs"][0]["sha256"]:
            write_text(manifest, before)
            for path in unfit:
                path.unlink(missing_ok=True)
            raise UserError(f"the volumes of {manifest} come out otherwise on this machine: {_remedy(rule)}")


def _remedy(rule: str) -> str:
    return f"add `--forcerun {rule}` to the call of Snakemake; it makes them, and all that rests on them, anew"
