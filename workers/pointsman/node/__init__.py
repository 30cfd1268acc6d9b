"""What the parent of a node and its children share: the node itself, the slots in shared memory that say who runs what,
and the notes and outcomes that are appended to the stream and kept until they are recorded.
"""
