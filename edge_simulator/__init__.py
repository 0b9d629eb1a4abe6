"""A fleet that is not there: many devices in one process, for rehearsals, benchmarks and demos.

Real: the update machine, its state on disk, the signatures, the chunks and their digests, and every device's own
connection with its last will. Not real: the camera, the model's answers and its self-test, which are drawn.
"""
