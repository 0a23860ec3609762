"""Other systems to compare with, running the same weights: only the engines differ."""


class UnsupportedModel(ValueError):
    """The other engine has no architecture equal to this model."""
