"""The right to run a task, taken away from outside: closed, released, and what the recorder must have passed before."""
