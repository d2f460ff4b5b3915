"""The memory-to-memory path of hardware encoders, on the kernel's codec test driver."""
import os
import subprocess

from footage import similarity
from scenario import scenario

TEST = (
    "capture::encoder::pipeline::tests::an_encoder_encodes_each_picture_and_changes_its_quality_while_it_runs"
)
SIZE, PICTURES = (1280, 720), 25
# The driver's decoder finds the frames' beginnings by itself. Its first colours are those of the encoder.
DECODE = """decoder=$(cd /sys/class/video4linux; for node in *; do v4l2-ctl -d /dev/$node --list-formats-out | grep -q "'FWHT'" && echo /dev/$node; done | head -1)
v4l2-ctl -d $decoder --stream-mmap --stream-out-mmap --stream-from=/dev/shm/coded --stream-to=/dev/shm/decoded
"""


@scenario("the kernel's codec driver (vicodec): our encoder's pipeline around v4l2fwhtenc gives each picture, as it was", short=False)
def codec(box, peers):
    program = box.work / "tests"
    subprocess.run(["strip", "-o", program, os.environ["TALLYBOX_TESTS"]], check=True)
    box.copy("/dev/shm/", program)
    try:
        run = f"cd /dev/shm; TALLYBOX_CODER=v4l2fwhtenc TALLYBOX_CODED=/dev/shm ./tests --exact {TEST} --nocapture 2>&1"
        said = box.sh(run, check=False, timeout=300)
        assert "1 passed" in said, said[-3000:]
        box.sh(DECODE, timeout=120)
        for name in ("pictures", "decoded"):
            box.fetch(f"/dev/shm/{name}", box.work / name)
    finally:
        box.sh("cd /dev/shm; rm -f tests coded pictures decoded")
    sizes = [(box.work / name).stat().st_size for name in ("pictures", "decoded")]
    assert sizes == [SIZE[0] * SIZE[1] * 3 // 2 * PICTURES] * 2, sizes
    mean, worst = similarity(box.work / "decoded", box.work / "pictures", SIZE)
    # The harness says the test's name first, on the same line.
    seen = next(line[line.index("v4l2fwhtenc: "):] for line in said.splitlines() if "v4l2fwhtenc: " in line)
    assert mean > 0.9 and worst > 0.8, f"{seen}; SSIM {mean:.3f}, the worst {worst:.3f}"
    return f"{seen}; SSIM {mean:.3f}, the worst {worst:.3f}"
