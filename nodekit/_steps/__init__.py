"""The steps of a solve: the time axis, how long they are, and the one loop over them."""
