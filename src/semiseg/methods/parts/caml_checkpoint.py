"""Names in the checkpoints of CAML. Source: Herschel555/CAML: code/networks/VNet.py, code/networks/net_factory.py."""

from semiseg.methods.parts.ss_net_contrast import head_names
from semiseg.network import Backbone, in_two, within


def official_parts(vanilla: Backbone, auxiliary: Backbone) -> dict[str, str]:
    """Module of ``CAML`` -> its official name; the source numbers the parts of the two networks."""
    found = within("vanilla", in_two(vanilla.official_modules(), "encoder1", "decoder1"))
    found |= within("auxiliary", auxiliary.official_modules())
    for number, name in enumerate(("vanilla", "auxiliary"), 1):
        for part in ("projection", "prediction"):
            found |= head_names(f"{part}_{name}", f"{part}_head{number}")
    return found
