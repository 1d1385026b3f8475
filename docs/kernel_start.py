"""What each kernel of the guides runs first (PYTHONSTARTUP): errors and warnings as a reader needs them.

An error is its class and its message, a warning likewise: no frames of the library, no path of the machine that built
the site. The cell above shows what was called.
"""

import warnings

get_ipython().InteractiveTB.set_mode("Minimal")  # noqa: F821 - IPython's
warnings.formatwarning = lambda message, category, *place, **line: f"{category.__name__}: {message}\n"
# A guide that forgets this import must fail here as it would for a reader.
del warnings
