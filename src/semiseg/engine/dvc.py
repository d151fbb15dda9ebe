"""Verbs ``keep`` and ``keep-raw``: put results and raw data under DVC, as a few folders, so that a pull is complete."""

import errno
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.files import is_full, sha256, write_text
from semiseg.graph.plan import Plan
from semiseg.paths import PREPARED, RAW, ROW, RUN, SPLIT, WEIGHTS, record_path

logger = logging.getLogger(__name__)

SHARED = tuple(template.partition("{dataset}")[0] + "{dataset}" for template in (RUN, SPLIT, PREPARED))
OWN = (ROW.removesuffix("/{method}.csv"), "results/{table}.html")


def keep(plan: Plan, table: str) -> None:
    """Put the files behind a table under DVC: runs, splits and prepared indices of its dataset, its rows, its page.

    Each folder or file gets one pointer file (``results/runs/phantom.dvc``), which git tracks. Volumes stay outside:
    .dvcignore names them, and they can be made again from the files under DVC. Works in the current folder. Raises
    UserError when one of the files is missing, the project is no DVC repository, or the cache cannot be written; what
    was put under DVC before stays there.
    """
    dataset = plan.table(table).dataset
    paths = [template.format(dataset=dataset, table=table) for template in (*SHARED, *OWN)]
    names = {plan.brought(run) for method in plan.served(table) for run in plan.runs(table, method)} - {None}
    brought = [WEIGHTS.format(weights=name) for name in sorted(filter(None, names))]
    paths += [path for file in brought for path in (file, record_path(file))]
    for path in paths:
        if not Path(path).exists():
            raise UserError(f"{path} is not there, so table {table} is not built: call `dvc repro table@{table}`")
    _add(paths)


def keep_raw(plan: Plan, dataset: str) -> None:
    """Put the raw folder of a dataset under DVC, and write the hash of its manifest beside it: tables depend on it.

    Raises UserError as ``keep`` does.
    """
    plan.options(dataset)
    manifest = Path(RAW.format(dataset=dataset))
    if not manifest.exists():
        raise UserError(f"{manifest} is not there: call `dvc repro raw@{dataset}`")
    _add([manifest.parent.as_posix()])
    write_text(raw_hash(dataset), f"{sha256(manifest)}  {manifest}\n")


def raw_hash(dataset: str) -> Path:
    """Where the hash of a raw manifest lies, in the format of sha256sum."""
    return Path(RAW.format(dataset=dataset)).parent.with_suffix(".sha256")


def _add(paths: list[str]) -> None:
    """``dvc add``, whose failures become UserErrors."""
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.lock import LockError
    from dvc.repo import Repo
    from dvc.scm import SCMError

    before = {pointer: pointer.read_bytes() if pointer.exists() else None for pointer in map(_pointer, paths)}
    try:
        with Repo(Path.cwd()) as repo:
            kept = all(stage.outs_cached() for stage in repo.add(paths))  # DVC reports a full cache and goes on
            if not kept:
                _put_back(before)
                raise UserError(
                    f"not all files reached DVC's cache ({repo.cache.local.path}): free space there, then call again"
                )
    except NotDvcRepoError:
        raise UserError(
            "this folder is not under DVC, so nothing can be kept: copy .dvc/config of the project, or call `dvc init`"
        ) from None
    except SCMError as error:
        raise UserError(
            f"DVC works with git ({error}): call `git init`, or `dvc config core.no_scm true` to go on without git"
        ) from None
    except LockError:
        raise UserError("another DVC command is at work in this project: wait until it has ended, call again") from None
    except (OSError, DvcException) as error:
        raise UserError(_reason(error)) from error
    logger.info(f"kept under DVC: {', '.join(paths)}")


def _pointer(path: str) -> Path:
    """The pointer file that git tracks in place of a path."""
    return Path(f"{path}.dvc")


def _put_back(before: Mapping[Path, bytes | None]) -> None:
    """Restore the pointer files as they were, because none may name a file that is not in the cache."""
    for pointer, content in before.items():
        if content is None:
            pointer.unlink(missing_ok=True)
        else:
            pointer.write_bytes(content)


def _reason(error: BaseException) -> str:
    """Why DVC failed: the first cause in the chain that a user can mend, otherwise DVC's own message."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and is_full(cause):
            return f"no space left in DVC's cache{_where(cause)}: free some, or move it with `dvc cache dir`"
        if isinstance(cause, PermissionError) or (isinstance(cause, OSError) and cause.errno == errno.EROFS):
            return f"DVC cannot write{_where(cause)} ({os.strerror(cause.errno or 0)}): check the folder's permissions"
        cause = cause.__cause__ or cause.__context__
    return f"DVC did not keep the results: {error}"


def _where(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""
