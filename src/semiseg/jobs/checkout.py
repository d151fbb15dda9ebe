"""The package that runs, and the checkout beside it: an installed copy must not stand in for an edited source."""

from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.files import digest, sha256
from semiseg.base.sources import PACKAGE

CHECKOUT = Path("src/semiseg")  # where a project's folder holds the source of the package


def package_hash(package: Path = PACKAGE) -> str:
    """sha256 over the names and bytes of all files of a package."""
    files = sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return digest({path.relative_to(package).as_posix(): sha256(path) for path in files})


def check_checkout() -> None:
    """Raise UserError when the working folder holds a source of the package that differs from the one that runs."""
    beside = CHECKOUT.absolute()
    if not beside.is_dir() or beside.samefile(PACKAGE) or package_hash(beside) == package_hash():
        return
    raise UserError(
        f"{beside} is not the code that runs, which is {PACKAGE}: install this checkout with"
        " `pip install --editable .`, or use its own environment, so that what is recorded is what ran"
    )
