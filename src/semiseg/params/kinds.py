"""Base of everything that params.yaml may hold: strict sections and the kinds of values in them."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from semiseg.base.errors import UserError

# ids of cases name files: no other folder, nothing hidden, no control characters
CASE = r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*"
EXPONENTIAL = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_]*$"
DIRECTIONS = r"^[LRAPSI]{3}$"
SHA256 = r"^[0-9a-f]{8,64}$"
PATTERNS = {
    NAME: "name of letters, digits and _",
    f"^{CASE}$": "id of a case, fit to name files",
    DIRECTIONS: "three of the letters L R A P S I",
    SHA256: "8 to 64 hexadecimal digits in small letters",
}


def _no_truth_value(value: Any) -> Any:
    """A number as it was given; ``true``, which Python counts as 1, is none."""
    if isinstance(value, bool):
        raise PydanticCustomError("truth_value", "a truth value is no number")
    return value


def _number_of_text(value: Any) -> Any:
    """The number that a text such as ``1e-05`` is: so YAML 1.1 hands on numbers that DVC wrote by YAML 1.2."""
    return float(value) if isinstance(value, str) and re.fullmatch(EXPONENTIAL, value) else value


NO_TRUTH_VALUE = BeforeValidator(_no_truth_value)
Name = Annotated[str, Field(pattern=NAME)]
CaseId = Annotated[str, Field(pattern=rf"^{CASE}$")]
Sha256 = Annotated[str, Field(pattern=SHA256)]
Directions = Annotated[str, Field(pattern=DIRECTIONS)]
Whole = Annotated[int, NO_TRUTH_VALUE]
Natural = Annotated[int, Field(ge=0), NO_TRUTH_VALUE]
PositiveInt = Annotated[int, Field(gt=0), NO_TRUTH_VALUE]
Number = Annotated[float, NO_TRUTH_VALUE]
PositiveFloat = Annotated[float, Field(gt=0), NO_TRUTH_VALUE]
NotNegative = Annotated[float, Field(ge=0), NO_TRUTH_VALUE]
Percentile = Annotated[float, Field(ge=0, le=100), NO_TRUTH_VALUE]
Share = Annotated[float, Field(gt=0, le=1), NO_TRUTH_VALUE]
Fraction = Annotated[float, Field(ge=0, le=1), NO_TRUTH_VALUE]
Seed = Annotated[int, Field(ge=0, lt=2**63), NO_TRUTH_VALUE]  # what both numpy and torch take
Axis = Annotated[int, Field(ge=0, le=2), NO_TRUTH_VALUE]
Three = tuple[PositiveInt, PositiveInt, PositiveInt]
Spacing = tuple[PositiveFloat, PositiveFloat, PositiveFloat]
Value = Annotated[bool | int | float | str, BeforeValidator(_number_of_text)]


def addition(default: Any, description: str) -> Any:
    """A key that params.yaml could not hold when earlier results were made. Where it has its default value, records do
    not hold it: these results stay as they are.
    """
    return Field(default, description=description, exclude_if=lambda value: bool(value == default))


class Strict(BaseModel):
    """Base of all sections: unknown keys are errors, numbers are finite, values cannot change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def check_case(name: str, where: str) -> str:
    """The id of a case that is fit to name files. Raises UserError with ``where`` it stands when it is not."""
    if not re.fullmatch(CASE, name):
        raise UserError(
            f"{where}: {name!r} cannot be the id of a case, which names files: it must not be empty, begin with a dot "
            "or hold a slash or a control character; rename its files"
        )
    return name
