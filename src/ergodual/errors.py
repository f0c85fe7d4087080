"""The one exception that the command line turns into a sentence and exit status 2."""


class ErgodualError(ValueError):
    """A request that cannot be met; the message is one sentence saying what was given, what was
    expected and what to do.
    """


class NotFiniteError(ErgodualError):
    """A number that had to be finite is not, usually because a learning rate is too large."""


class NotGivenError(ErgodualError, NotImplementedError):
    """A function or an operator of the user's own lacks a method that is needed."""


class NotConvergedWarning(UserWarning):
    """Some samples of a batch have not reached the tolerance."""


class NotDifferentiableWarning(UserWarning):
    """Some samples' solutions have no derivative."""


class NotQuantizedWarning(UserWarning):
    """A recording is not coarsely quantized, as far as its samples show, and stays as it is."""


class OtherProductsWarning(UserWarning):
    """A training goes on with another kernel of matrix products than it began with."""


class StepSizeWarning(UserWarning):
    """Given step sizes are too large for the iteration to converge."""
