"""The two faults that varinf tells apart from a fault of its own."""


class InputError(ValueError):
    """What was asked or given cannot be done; the message says what was expected, what came, what to do.

    The command line prints it as one line and exits with code 2.
    """


class NonFiniteError(ArithmeticError):
    """A fit met a loss that is infinite or not a number, and stopped.

    Attributes:
        step: the number of the first such step, counted from 0.
    """

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step
