"""Names of metrics and conventions, and which rows are controls."""

METRICS = {"dice": "Dice", "jaccard": "Jaccard", "asd": "ASD", "hd95": "95HD"}
LOWER_IS_BETTER = {"ASD", "95HD"}
CONVENTIONS = ("published", "sound")
SUFFIXES = {"published": ".csv", "sound": ".sound.csv"}  # how the name of a table ends under each convention


def scoring_rules(published: str) -> dict[str, str]:
    """The scoring rule of each convention. published: the rule of the table's protocol."""
    return dict(zip(CONVENTIONS, (published, "sound"), strict=True))


def is_control(method: str) -> bool:
    """Whether a row is a control (a perfect or an empty answer), which never counts as best."""
    return method.startswith("control_")
