"""The contract between a method (one file of ``semiseg.methods``) and the training loop.

A method computes loss terms; the loop does the rest. In each step the loop calls, in this order: ``losses`` and
``weights``, a step of the networks' optimiser, ``adversary_losses`` and a step of the adversaries' optimiser if there
are adversaries, then ``after_step``. The shortest complete example is ``semiseg/methods/sup_only.py``, the usual form
``semiseg/methods/mt.py``.

Shapes are written ``[b c z y x]``: b crops, c channels, k classes, and the three spatial axes in the order of the
stored volume. A labelled crop has an image and a label; an unlabelled crop has an image alone.
"""

from collections.abc import Mapping
from typing import Any, Generic, Literal, Self, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from semiseg import catalogue
from semiseg.base import network_checks
from semiseg.base.declared_networks import Net as Net
from semiseg.base.errors import UserError
from semiseg.base.official_weights import OfficialWeights
from semiseg.base.optimiser_rules import SGD as SGD
from semiseg.base.optimiser_rules import Adam as Adam
from semiseg.base.training_step import Batch as Batch
from semiseg.base.training_step import Context as Context
from semiseg.base.training_step import Derive as Derive
from semiseg.base.training_step import TrainingTime as TrainingTime

Terms = dict[str, Tensor]
T = TypeVar("T")


class Hyper(Generic[T]):
    """A hyperparameter of a method; ``self.<name>`` is the value of this run, of the default's type.

    default: the value where params.yaml gives none. meaning: one line. source: where the default is from. choices: the
    allowed values if there are few. at_prediction: True if the value acts when test cases are predicted and nowhere
    else. Rows that differ in such values alone share one training, in which the default holds.
    """

    def __init__(
        self, default: T, meaning: str, source: str, choices: tuple[T, ...] = (), *, at_prediction: bool = False
    ) -> None:
        self.default, self.meaning, self.source, self.choices = default, meaning, source, choices
        self.at_prediction = at_prediction

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: "Method", owner: type) -> T: ...

    def __get__(self, instance: "Method | None", owner: type) -> Self | T:
        if instance is None:
            return self
        value: T = instance.hyper.get(self.name, self.default)
        return value


class Method(OfficialWeights):
    """Base of all methods.

    All parameters that require gradients are trained, whether ``networks`` declares their module or ``__init__`` builds
    it. Example of an own module: one encoder with several decoders, whose ``forward`` gives the logits that predict.

    A method owns its networks, heads, memories and counters. Whatever outlives a step must be a parameter or a
    registered buffer: ``state_dict`` is what a run saves, so that a resumed run continues bit for bit.

    Class attributes declare what the engine builds:

    networks: name -> initialisation of each trained backbone, which becomes the attribute of that name. Example:
        ``networks = {"a": "kaiming", "b": "xavier"}`` gives ``self.a`` and ``self.b``. An entry may name a backbone of
        its own, or other channels of its input: ``Net("kaiming", ResNet34)``, ``Net("xavier", in_channels=2)``. The
        file imports the class from ``semiseg.networks``, so that an edit of it reruns the method.
    teachers: name -> name of the network that the teacher follows. A teacher has the same architecture and no
        gradients; the method itself updates it in ``after_step``.
    teacher_start: ``"random"`` if teachers start from random weights of their own (the official mean teachers do);
        ``"copy"`` if each starts as a copy of the network that it follows.
    large_state: name -> place of each buffer of more than some 100 MB. ``"device"``: beside the networks; ``"cpu"``: in
        main memory, also where the networks are on a GPU. A checkpoint writes such a buffer to a file of its own, and
        only if it was changed in place or replaced since the last one; changes by way of ``.data`` are not noticed.
        Example: ``large_state = {"store": "cpu"}`` for ``self.register_buffer("store", torch.zeros(...))``.
    adversaries_first: whether the adversaries' step comes before that of the networks, on the same batch, as in some
        official scripts.
    inference_networks: names of the networks that predict, one or more: of ``networks``, of teachers, or of modules
        that ``__init__`` builds, with dots where they lie in another module. A run keeps the weights of these alone, so
        ``predict`` uses no others.
    labelled_only: True if the method uses no unlabelled crops; the whole batch then consists of labelled crops.
    least_unlabelled: the fewest unlabelled cases with which the method can be trained. The planner refuses a split that
        has fewer.

    counted_whole: True if the work of a step does not grow with the voxels of a crop, because slices are resized, and
        its operations follow from shapes alone. ``semiseg plan`` then counts a whole step on tensors without content.
    wraps: name of the hyperparameter that names another method, which this one builds and changes. Its code and its
        hyperparameters then belong to the run, and what it requires is required of the protocol and of the split.
        Example (``semiseg/methods/plbopt.py``): with ``wraps = "base"`` and a base ``"cps"`` the method builds
        ``method_class(self.base)(context, **context.wrapped)``.

    ``requires`` declares what a method requires of a protocol, as texts that are written out. The planner leaves out a
    row whose protocol lacks one of these, and gives the reason. ``semiseg/graph/requirements.py`` has the kinds:

    ``"equal_halves"``: a step must have as many unlabelled crops as labelled ones. Example: GuidedNet compares
        unlabelled crop j with prototypes of labelled crop j, so 2 + 2 crops serve it and 1 + 3 crops do not.
    ``"cubes:<name>"``: the hyperparameter of this name holds the side s of a cube in voxels. Every side of the crop
        must be a multiple of s, and of the number n of cubes on the second axis; n must be 2 or more. Example: MagicNet
        declares ``"cubes:cube_size"``, and s is 32. A crop of 64 x 128 x 128 has n = 4 and serves; a crop of 96 x 160 x
        160 has n = 5, which does not divide 96.
    ``"several_scales"``: ``outputs`` of the protocol's network gives more than one scale.
    ``"further_decoders"``: the protocol's network builds further decoders (``Backbone.new_decoder``).
    ``"even_bottleneck"``: the deepest map of a crop and of a window has even sides.
    ``"superpixels:<name>"``: the hyperparameter of this name holds the voxels of a superpixel, 1 or more and at most
        those of a slice of the crop.
    ``"two_classes:<name>"``: where the hyperparameter of this name is ``foreground``, the task has 2 classes.
    ``"binary"``: the task has 2 classes.
    ``"sam"``: the protocol's network is ``sam``, whose images have two dimensions; no other method can use it.
    ``"window_is_patch"``: windows of inference have the size of the crops, because weights depend on it.
    ``"second_crops"``: a step has a second crop of each scan (``Batch.second``; ``augmentation.second``).
    ``"scaled_intensities"``: the protocol scales every scan to 0..1 (``intensities: minmax``).
    ``"pretrained"``: the protocol names a run, or a file (``initial``), from whose weights the training starts.
    Those without a name may have one too, of a hyperparameter, and count where it is true: ``"even_bottleneck:skcm"``.

    Random numbers: a method may draw them in ``__init__``, ``losses``, ``adversary_losses`` and ``after_step``, and
    only from torch's default generator of a device, as ``torch.rand(..., device=images.device)`` and dropout do. The
    run's seed sets these generators and the saved state contains them. Numbers from numpy, from Python's ``random`` or
    from a generator of the method's own would differ after a resumption. ``predict`` and ``weights`` draw nothing.
    """

    networks: Mapping[str, str | Net] = {}
    teachers: Mapping[str, str] = {}
    teacher_start: Literal["random", "copy"] = "random"
    large_state: Mapping[str, Literal["device", "cpu"]] = {}
    adversaries_first: bool = False
    inference_networks: tuple[str, ...] = ()
    labelled_only: bool = False
    counted_whole: bool = False
    least_unlabelled: int = 1
    wraps: str = ""
    requires: tuple[str, ...] = ()

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__()
        known = hyperparameters(type(self))
        for name, value in hyper.items():
            if name not in known:
                raise UserError(
                    f"{type(self).__name__} has no parameter {name!r}; it has: {', '.join(known) or 'none'}"
                )
            if known[name].choices and value not in known[name].choices:
                allowed = ", ".join(map(str, known[name].choices))
                raise UserError(f"{type(self).__name__}.{name} must be one of {allowed}; found {value!r}")
        network_checks.check_networks(type(self).__name__, self.networks, self.teachers, self.teacher_start)
        self.hyper = hyper
        self.context = context
        for name in self.networks:
            self.add_module(name, self._built(name))
        for name, followed in self.teachers.items():
            teacher = self._built(followed).requires_grad_(False)
            if self.teacher_start == "copy":
                teacher.load_state_dict(self.get_submodule(followed).state_dict())
            self.add_module(name, teacher)

    def _built(self, network: str) -> nn.Module:
        """A new network as the entry of this name in ``networks`` declares it."""
        entry = self.networks[network]
        if isinstance(entry, Net):
            return self.context.network(entry.initialisation, self.output_channels, entry.in_channels, entry.backbone)
        return self.context.network(entry, self.output_channels)

    @property
    def output_channels(self) -> int:
        """Channels of the networks' heads: one per class, unless a method overrides this property."""
        return self.context.classes

    @property
    def rate_lag(self) -> int:
        """Steps by which the method's own script sets the learning rate late: step t then has the rate of t - 1.

        It counts where the protocol's rate follows iterations, and adds nothing to a lag of the protocol's own.
        """
        return 0

    @property
    def logged_only(self) -> frozenset[str]:
        """Terms without gradient, which a published code computes and logs but does not train with."""
        return frozenset()

    @property
    def derive(self) -> Derive | None:
        """Function that computes maps from the image of an unlabelled crop alone, such as superpixels; None for none.

        It receives the crop ``[c z y x]`` as ``losses`` will see it and returns arrays by name, of the same names and
        shapes for every crop; they arrive as ``Batch.maps``. It runs where batches are prepared: on the CPU, beside the
        training, in several threads at once. It must therefore depend on the crop and on hyperparameters alone, use
        numpy and not torch, draw no random numbers and leave the crop as it is.
        """
        return None

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the weights that a pre-training saved: ``<network>.<parameter>`` of its inference networks.

        Each tensor takes the place of the one of the same name here. Then teachers that start as copies
        (``teacher_start``) are copied anew. A method with networks of other names overrides this. Raises UserError for
        a tensor that is not here or has another shape.
        """
        own = self.state_dict()
        for name, tensor in tensors.items():
            found = tuple(own[name].shape) if name in own else None
            if found != tuple(tensor.shape):
                here = "has no such tensor" if found is None else f"needs {found}"
                raise UserError(f"{name} has shape {tuple(tensor.shape)}, and {type(self).__name__} {here}")
        self.load_state_dict({**own, **tensors})
        for name, followed in self.teachers.items() if self.teacher_start == "copy" else ():
            self.get_submodule(name).load_state_dict(self.get_submodule(followed).state_dict())

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Unweighted loss terms by name, each a scalar, in the paper's order.

        The names are the same in every step. A term that has nothing to average is 0, not 0/0: because no voxel passes
        its mask, because a class is absent, or because its phase of the training has not begun. Divide by
        ``count.clamp(min=1)``, or return ``torch.zeros(())`` on the right device. Over the whole training the gradient
        of every term must reach a trained network, unless ``logged_only`` names the term.
        """
        raise NotImplementedError

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """Weight of each term of ``losses`` in this step; a term without an entry has weight 1.

        An entry without a term ends the training with a sentence.
        """
        return {}

    def adversaries(self) -> Mapping[str, Adam | SGD]:
        """Attribute name -> optimiser of each module that has one of its own, such as a discriminator; with dots where
        it lies in another module.

        Example (``semiseg/methods/dan.py``): ``{"discriminator": Adam(1e-4, (0.9, 0.99))}`` for the module
        ``self.discriminator``. While ``losses`` runs, the parameters of adversaries have their gradients switched off:
        gradients pass through an adversary into the networks, but the networks' optimiser does not change it.
        """
        return {}

    def adversary_rates(self, time: TrainingTime, scheduled: float) -> Mapping[str, float]:
        """Factor of each adversary's learning rate in this step; one without an entry keeps its rate.

        scheduled: the factor of the networks' learning rate by the protocol's schedule. Example: ``{"mu": scheduled}``
        for an adversary that follows it.
        """
        return {}

    def adversary_losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Loss terms of the adversaries by name, each with weight 1; called on the batch of the networks' step: after
        it, or before it with ``adversaries_first``.

        Their gradients must reach the adversaries alone: compute the networks' predictions without gradient.
        """
        raise NotImplementedError

    def after_step(self, time: TrainingTime) -> None:
        """Update moving averages and other state without gradient, after the steps of all optimisers."""

    def presented(self, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """The image ``[z y x]`` of a test case from which windows are cut, by default as it is stored.

        rng: a generator that depends on the name of the case alone. Cases of the validation are not changed.
        """
        return image

    def predict(self, image: Tensor, networks: tuple[str, ...]) -> Tensor:
        """Class probabilities ``[b k z y x]`` of windows ``[b c z y x]``: softmax of the networks' mean logits.

        networks: some of ``inference_networks``.
        """
        logits = torch.stack([self.get_submodule(name)(image) for name in networks])
        return logits.mean(0).softmax(1)


def total(terms: Terms, weights: Mapping[str, float]) -> Tensor:
    """Weighted sum of the terms, a scalar. A term without a weight has weight 1."""
    return sum((term * weights.get(name, 1.0) for name, term in terms.items()), start=torch.zeros(()))


def hyperparameters(method: type[Method]) -> dict[str, Hyper[Any]]:
    """Declared hyperparameters by name, base classes first."""
    return {
        name: value
        for owner in reversed(method.__mro__)
        for name, value in vars(owner).items()
        if isinstance(value, Hyper)
    }


def method_class(name: str) -> type[Method]:
    """The one ``Method`` that the file ``semiseg/methods/<name>.py`` defines; import errors are raised."""
    return catalogue.load_class("methods", name, Method)
