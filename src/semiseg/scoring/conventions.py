"""The two conventions under which every table is scored."""

CONVENTIONS = ("published", "sound")
SUFFIXES = {"published": ".csv", "sound": ".sound.csv"}  # how the name of a table ends under each convention


def scoring_rules(published: str) -> dict[str, str]:
    """The scoring rule of each convention. published: the rule of the table's protocol."""
    return dict(zip(CONVENTIONS, (published, "sound"), strict=True))
