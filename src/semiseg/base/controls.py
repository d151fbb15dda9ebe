"""Which methods are controls. The name decides, so that neither the planner nor a page has to load a method."""

PREFIX = "control_"


def is_control(method: str) -> bool:
    """Whether a method is a control (a perfect or an empty answer), which is not trained and never counts as best."""
    return method.startswith(PREFIX)
