import os
import subprocess
import sys


def test_a_reader_that_has_read_enough_is_no_fault() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:
        ran = subprocess.run([sys.executable, "-m", "pointsman", "config"], stdout=closed, stderr=subprocess.PIPE)
    assert (ran.returncode, ran.stderr) == (1, b"")
