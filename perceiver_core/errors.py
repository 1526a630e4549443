"""What perceiver_core raises on purpose; anything else that escapes is our bug."""


class InvalidInput(ValueError):
    """The caller's value breaks a rule: the sentence gives the value, the rule and the way out."""


class CheckpointError(ValueError):
    """A model folder cannot be used: the sentence names the file and what is wrong with it."""
