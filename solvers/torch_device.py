"""Which device and precision tensors live in, checked by name."""

from __future__ import annotations

import torch

from twin.errors import InvalidInput

__all__ = ["DTYPES", "device_of"]

DTYPES = {"float64": torch.float64, "float32": torch.float32}


def device_of(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    """The device and the precision, if this machine has them.

    Raises
    ------
    InvalidInput
        One that torch does not know or that is not there.

    Examples
    --------
    >>> device_of("cpu", "float32")
    (device(type='cpu'), torch.float32)
    """
    if dtype not in DTYPES:
        raise InvalidInput(f"The dtype is {dtype!r}; it may be 'float64' or 'float32'.")
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda", "mps"):
        raise InvalidInput(f"The device is {device!r}; it may be 'cpu', 'cuda' or 'mps'.")
    if found.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not (found.index or 0) < count:
            raise InvalidInput(
                f"There is no CUDA device {device!r}: torch finds {count} here; use device='cpu'."
            )
    if found.type == "mps":
        if not torch.backends.mps.is_available():
            raise InvalidInput("There is no Metal device 'mps' here; use device='cpu'.")
        if dtype == "float64":
            raise InvalidInput("The device 'mps' has no float64; use dtype='float32'.")
    return found, DTYPES[dtype]
