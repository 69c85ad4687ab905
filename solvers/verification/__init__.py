"""What ``twin verify`` runs: the engine on this machine against what it must give.

Each module holds the checks of one group; expected values come from closed forms,
exact solutions or independent integrators, never from the engine itself.
"""
