"""Closed forms: what a model must give where its equations can be solved by hand.

Pure functions of plain numbers and arrays, one file a topic, each with its units and
its source. The solver never calls them: tests and ``twin verify`` hold the two against
each other.
"""
