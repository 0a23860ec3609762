"""The same weights in other engines, so that a comparison compares engines alone."""


class Unconvertible(ValueError):
    """A model that another engine has no equal of."""
