"""The memory of a training is that of its own process."""

import subprocess
import sys

from semiseg.learning.cost import largest_resident

MIB = 2**20


def test_memory_is_not_that_of_the_program_that_started_the_job():
    held = bytearray(b"1") * (300 * MIB)  # written, so resident
    assert largest_resident() > len(held)
    script = "from semiseg.learning.cost import largest_resident; print(largest_resident())"
    job = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert 5 * MIB < int(job.stdout) < 200 * MIB


def test_memory_grows_with_what_a_process_holds():
    script = (
        "from semiseg.learning.cost import largest_resident; before = largest_resident();"
        f" held = bytearray(b'1') * {100 * MIB}; del held; print(largest_resident() - before)"
    )
    job = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert 90 * MIB < int(job.stdout) < 150 * MIB, "the largest, though it was given back"
