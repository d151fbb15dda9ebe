"""The two conventions under which every table is scored, and which rows are controls."""

CONVENTIONS = ("published", "sound")
SUFFIXES = {"published": ".csv", "sound": ".sound.csv"}  # how the name of a table ends under each convention


def scoring_rules(published: str) -> dict[str, str]:
    """The scoring rule of each convention. published: the rule of the table's protocol."""
    return dict(zip(CONVENTIONS, (published, "sound"), strict=True))


def is_control(method: str) -> bool:
    """Whether a row is a control (a perfect or an empty answer), which never counts as best."""
    return method.startswith("control_")
