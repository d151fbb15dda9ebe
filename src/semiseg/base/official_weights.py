"""The weights of a checkpoint of an official code, under our names: which form of that code it is, and what fits."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.base.texts import some

COUNT = ".num_batches_tracked"  # of a batch norm, which no prediction uses; old versions of torch do not save it


class OfficialWeights(nn.Module):
    """Base of all methods: how the weights of a checkpoint of the method's official code are called here.

    official_unused: how names begin that such a checkpoint holds and that predict nothing, so that they have no place.
    """

    official_unused: tuple[str, ...] = ()
    inference_networks: tuple[str, ...] = ()

    def official_modules(self) -> list[dict[str, str]]:
        """Module with weights -> its name in a checkpoint of the official code, for each form of such a file.

        By default a file holds the networks that predict, each under its ``Backbone.official_modules``. Where these are
        several, the official code writes a file for each, and the names begin with that of the network: ``a.``.
        """
        found = {network: self.get_submodule(network) for network in self.inference_networks}
        names: dict[str, dict[str, str]] = {
            network: getattr(module, "official_modules", dict)() for network, module in found.items()
        }
        several = len(names) > 1
        return [
            {
                f"{network}.{ours}": f"{network}.{official}" if several else official
                for network, modules in names.items()
                for ours, official in modules.items()
            }
        ]

    def from_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file that the user has brought, under our names: a checkpoint of the official code in any
        form of ``official_modules``, or the weights of a run of this method. Raises UserError as ``matched`` does.
        """
        own = list(self.state_dict())
        forms = [{name: name for name in own}, *(weight_names(own, modules) for modules in self.official_modules())]
        predicting = tuple(f"{network}." for network in self.inference_networks)
        names = matched(tensors.keys(), forms, predicting, self.official_unused, type(self).__name__)
        return {ours: tensors[name] for name, ours in names.items()}


def weight_names(own: Iterable[str], modules: Mapping[str, str]) -> dict[str, str]:
    """Official name -> our name of each weight whose module has an official one. modules: ours -> official."""
    parts = {name: name.rpartition(".") for name in own}
    return {f"{modules[owner]}.{weight}": name for name, (owner, _, weight) in parts.items() if owner in modules}


def matched(
    given: Collection[str],
    forms: Sequence[Mapping[str, str]],
    needed: tuple[str, ...],
    unused: tuple[str, ...],
    who: str,
) -> dict[str, str]:
    """Name in the file -> our name, by the form that has most names of the file.

    forms: official name -> our name. needed: how our names begin that the file must have. unused: how names begin that
    the file may have beside them. who: the method, for the errors.

    Raises UserError for names of the file that the form lacks, and for needed ones that the file lacks.
    """
    form = max(forms, key=lambda one: len(one.keys() & set(given)))
    if strange := sorted(name for name in given if name not in form and not name.startswith(unused)):
        raise UserError(f"it holds {some(strange, 3)}, which {who} has no place for")
    wanted = (official for official, ours in form.items() if ours.startswith(needed) and not official.endswith(COUNT))
    if missing := sorted(set(wanted) - set(given)):
        raise UserError(f"it lacks {some(missing, 3)}, which {who} predicts with")
    return {name: form[name] for name in given if name in form}
