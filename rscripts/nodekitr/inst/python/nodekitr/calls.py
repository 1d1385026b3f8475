"""Calls from R: failures and warnings come back as data, for R to make conditions of."""

import re
import warnings

import nodekit

DETAILS = ("t", "dt", "sample")
IN_R = {"nan": "NaN", "False": "FALSE", "True": "TRUE", "None": "NULL"}


def attempt(function, *args, **kwargs):
    """Call `function`; return its value, or what failed, with the warnings given on the way."""
    value = failure = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            failure = described(error)
    return {"value": value, "failure": failure, "warnings": list(dict.fromkeys(str(w.message) for w in caught))}


def described(error):
    """Classes in R's spelling, what was wrong, what to do, and the library's details."""
    kinds = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception) and kind is not Exception]
    fields = {name: getattr(error, name) for name in DETAILS if getattr(error, name, None) is not None}
    message, remedy = str(error) or type(error).__name__, ""
    if isinstance(error, nodekit.NodekitError):
        at = f" at t = {error.t:g}" if error.t is not None else ""
        message, remedy = error.message + at, error.remedy
    return {
        "message": _sentence(message),
        "remedy": _sentence(remedy) if remedy else None,
        "classes": [_snake_case(name) for name in kinds],
        "fields": fields,
    }


def _sentence(text):
    """With a full stop, and with Python's constants and dictionaries of options spelt as R's."""
    text = re.sub(r"=\{'(\w+)': ([^}]+)\}", r" = list(\1 = \2)", text)
    text = re.sub(r"\b(nan|False|True|None)\b", lambda found: IN_R[found[0]], text)
    return text.rstrip(".") + "."


def _snake_case(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().removeprefix("nodekit_")
