"""The same bytes on unlike machines: other kernels of BLAS, numpy and the C library are forced."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SIMULATE = """
import sys
from pathlib import Path
from galadapt.config.image import Image, OpticalPsf
from galadapt.config.simulation import Simulation
from galadapt.simulation.engine import simulate_shard

simulate_shard(
    Image(stamp_size=64), OpticalPsf(), Simulation(n_train=80), 1, 0, 80, Path(sys.argv[1]), {}
)
"""

#: A processor of 2009 to the linear algebra, one without AVX-512 to numpy, without FMA to the rest.
OLD = {
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_ICL AVX512_SPR",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F",
}


def simulated(path: Path, **environment: str) -> bytes:
    command = [sys.executable, "-W", "ignore", "-c", SIMULATE, str(path)]
    subprocess.run(command, env=os.environ | environment, check=True, capture_output=True)
    return path.read_bytes()


def has(feature: str) -> bool:
    cpus = Path("/proc/cpuinfo")
    return cpus.is_file() and f" {feature} " in cpus.read_text()


@pytest.mark.skipif(not has("avx2"), reason="without AVX2 numpy's exponentials differ")
def test_kernels_of_other_machines_draw_the_same_bytes(tmp_path):
    kinds = [{"OPENBLAS_CORETYPE": "Haswell"}, OLD]
    if has("avx512f"):
        kinds.append({"OPENBLAS_CORETYPE": "SkylakeX"})
    files = [simulated(tmp_path / f"{i}.h5", **kind) for i, kind in enumerate(kinds)]
    assert len(files[0]) > 80 * 64**2 * 4
    assert all(file == files[0] for file in files)
