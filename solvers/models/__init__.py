"""Growth models: what they are, those that are known, and the code made from them."""

from solvers.models.composition import compose
from solvers.models.model import Model, Rate, Species

__all__ = ["Model", "Rate", "Species", "compose"]
