"""The work of one training step."""

from dataclasses import dataclass

BYTES = 4  # of a float32 number
COPIES = 3  # of a trained parameter on the GPU: itself, its gradient, its momentum
PROCESS = 2**30  # bytes on a GPU beside tensors: CUDA's context and cuDNN's workspaces; our assumption


@dataclass(frozen=True)
class Work:
    """Work of one training step: floating-point operations (forward and backward), bytes on the GPU, parameters.

    parameters: those that are trained. stored: bytes of the networks that may predict, frozen weights included, which a
    run keeps at most.
    """

    operations: float
    memory: float
    parameters: int
    stored: int = 0
