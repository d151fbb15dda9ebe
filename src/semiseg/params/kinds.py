"""Base of everything that params.yaml may hold: strict sections and the kinds of values in them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

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
