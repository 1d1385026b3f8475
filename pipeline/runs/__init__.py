"""What runs of every kind share: their function, columns, devices, checkpoints, progress, time and memory."""
