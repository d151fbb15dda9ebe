"""Names of metrics and conventions, and which rows are controls."""

METRICS = {"dice": "Dice", "jaccard": "Jaccard", "asd": "ASD", "hd95": "95HD"}
LOWER_IS_BETTER = {"ASD", "95HD"}
CONVENTIONS = ("published", "sound")


def is_control(method: str) -> bool:
    """Whether a row is a control (a perfect or an empty answer), which never counts as best."""
    return method.startswith("control_")
