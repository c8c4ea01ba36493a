"""What all tests share: two fake devices, double precision on request, and a count of compilations."""

import gc
import os

# Before JAX is imported: two devices, so that nothing can lean on there being one. And programs as XLA has them
# before LLVM's optimisation, since the tests spend their time compiling: a draw took 3.7 s with it, 0.3 s without.
# Fusions through LLVM alone and not through MLIR before it: a third less for a fit or an inference; and each program in
# one piece: a twentieth less. In the order that needs least memory fewer parts run at once, so that the programs of
# the tests themselves, which nothing puts in turn (varinf._in_turn), do not wait for ever. XLA_FLAGS=" " in the
# environment runs the tests on programs compiled as a user's are.
_FAST = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1 "
    "--xla_cpu_scheduler_type=CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"
)
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", _FAST) + " --xla_force_host_platform_device_count=2"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Nobody reads where in Python an operation of a test's program came from: a twentieth of the time.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")

# Traced programs are many small objects, few of them in cycles: by Python's own measure a twentieth of the time went
# into looking for these.
gc.set_threshold(100_000, 50, 100)

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402


def pytest_sessionfinish():
    """Look for cycles once. Pytest does so five times at its end, each time in all that was traced and compiled."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def float64():
    """Double precision on the device, for the length of one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def compilations():
    """A list that grows by one entry with each program that XLA compiles."""
    events = []

    def listen(event: str, _seconds: float, **_: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
