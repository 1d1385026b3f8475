"""Calls from R: failures and warnings come back as data, for R to make conditions of."""

import re
import warnings

DETAILS = ("t", "dt", "sample", "remedy")


def attempt(function, *args, **kwargs):
    """Call `function`; return its value, or what failed, with the warnings given on the way."""
    value = failure = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            failure = _described(error)
    return {"value": value, "failure": failure, "warnings": list(dict.fromkeys(str(w.message) for w in caught))}


def _described(error):
    fields = {name: getattr(error, name) for name in DETAILS if getattr(error, name, None) is not None}
    classes = [_snake_case(kind.__name__) for kind in type(error).__mro__ if issubclass(kind, Exception)]
    return {"message": str(error) or type(error).__name__, "classes": classes, "fields": fields}


def _snake_case(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
