"""The one exception that the command line turns into a sentence and exit status 2."""


class ErgodualError(ValueError):
    """A request that cannot be met; the message is one sentence saying what was given, what was
    expected and what to do.
    """


BROUGHT_BY = {
    "speech": ("soundfile", "scipy", "safetensors", "pooch", "pystoi"),
    "images": ("PIL", "skimage", "safetensors"),
    "cli": ("tyro", "rich"),
    "report": ("matplotlib", "jinja2"),
    "app": ("gradio",),
}
"""What each extra installs."""


def lacking(what: str, error: ModuleNotFoundError) -> ErgodualError:
    """That ``what`` needs an extra, and how to install it.

    Raises
    ------
    ModuleNotFoundError
        Again, if no extra brings the module.
    """
    module = (error.name or "").partition(".")[0]
    for extra, modules in BROUGHT_BY.items():
        if module in modules:
            return ErgodualError(f"{what} needs {module}; run pip install 'ergodual[{extra}]'.")
    raise error


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
