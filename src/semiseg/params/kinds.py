"""Base of everything that params.yaml may hold: strict sections and the kinds of values in them."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from semiseg.base.errors import UserError

# ids of cases name files: no other folder, nothing hidden, no control characters
CASE = r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")]
CaseId = Annotated[str, Field(pattern=rf"^{CASE}$")]
Three = tuple[PositiveInt, PositiveInt, PositiveInt]
Spacing = tuple[PositiveFloat, PositiveFloat, PositiveFloat]
Value = bool | int | float | str
Fraction = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """Base of all sections: unknown keys are errors, values cannot change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def check_case(name: str, where: str) -> str:
    """The id of a case that is fit to name files. Raises UserError with ``where`` it stands when it is not."""
    if not re.fullmatch(CASE, name):
        raise UserError(
            f"{where}: {name!r} cannot be the id of a case, which names files: it must not be empty, begin with a dot "
            "or hold a slash or a control character; rename its files"
        )
    return name
