"""What is computed without training: one function an experiment, named in its YAML, from its run to its tables.

One whose settings name a data set is given its images, too.
"""
