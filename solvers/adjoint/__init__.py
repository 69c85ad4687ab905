"""Exact gradients of a run by the discrete adjoint."""
