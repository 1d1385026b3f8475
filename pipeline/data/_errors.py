"""The one error of the data room."""


class DataError(Exception):
    """Data that is missing, damaged or not writable; the message says what, where, and what to do."""
