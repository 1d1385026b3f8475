"""What is measured of gradients and of trained networks: one function an experiment, named in its YAML.

Each is given its run and a device, one that measures a trained network also that, and returns "history" and "metrics",
which the same machine repeats, and "timing", which nothing does.
"""
