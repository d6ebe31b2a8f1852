from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tokenhud.engines.events import Sample
from tokenhud.sessions.gpu import Gpu
from tokenhud.sessions.machine import Poller, Sampler, environment

GB = 2**30
SECOND = 10**9


class FakeNvml:
    """A driver with one device; names in `refused` raise the error given for them."""

    class NVMLError(Exception):
        pass

    def __init__(self, pids: dict[int, int | None] | None = None, **refused: str) -> None:
        self.pids = pids or {}
        self.refused = refused
        self.asked: list[str] = []
        self.slices = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.asked.append(name)
            if name in self.refused:
                raise self.NVMLError(self.refused[name])
            return self._answer(name, args)

        return call

    def _answer(self, name: str, args: tuple[Any, ...]) -> Any:
        match name:
            case "nvmlDeviceGetHandleByIndex" | "nvmlDeviceGetHandleByUUID":
                return ("device", args[0])
            case "nvmlDeviceGetMigDeviceHandleByIndex":
                return "slice"
            case "nvmlDeviceGetMigMode":
                return [int(self.slices), int(self.slices)]
            case "nvmlDeviceGetMemoryInfo":
                total = 10 * GB if args[0] == "slice" else 80 * GB
                return SimpleNamespace(used=3 * GB, total=total)
            case "nvmlDeviceGetUtilizationRates":
                return SimpleNamespace(gpu=41)
            case "nvmlDeviceGetComputeRunningProcesses":
                return [SimpleNamespace(pid=p, usedGpuMemory=m) for p, m in self.pids.items()]
            case "nvmlSystemGetCudaDriverVersion_v2":
                return 13000
        return name


def gpu(nvml: object, visible: str = "0") -> Gpu:
    return Gpu(lambda: nvml, visible)


def no_library() -> Any:
    raise ImportError("No module named 'pynvml'")


def files(root: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def no_gpu() -> Gpu:
    return Gpu(no_library)


def test_the_engines_memory_includes_its_children() -> None:
    code = (
        "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        try:
            sampler = Sampler(parent.pid, gpu=no_gpu())
            both = sampler.sample(0).engine_rss
            assert both is not None
            assert both > child.memory_info().rss
            child.kill()
            parent.communicate("\n")
            assert sampler.sample(1).engine_rss is None
        finally:
            if child.is_running():
                child.kill()
    assert "engine_rss" in sampler.reasons
    sampler.pid = os.getpid()
    assert sampler.sample(2).engine_rss
    assert "engine_rss" not in sampler.reasons


@pytest.mark.parametrize(
    ("contents", "total", "used"),
    [
        (
            {
                "proc/self/cgroup": "0::/app\n",
                "sys/fs/cgroup/app/memory.max": f"{2 * GB}\n",
                "sys/fs/cgroup/app/memory.current": f"{GB}\n",
                "sys/fs/cgroup/app/memory.stat": f"anon 5\ninactive_file {GB // 4}\n",
            },
            2 * GB,
            GB * 3 // 4,
        ),
        (
            {  # the limit is an ancestor's
                "proc/self/cgroup": "0::/pod/app\n",
                "sys/fs/cgroup/pod/app/memory.max": "max\n",
                "sys/fs/cgroup/pod/app/memory.current": "1\n",
                "sys/fs/cgroup/pod/memory.max": f"{GB}\n",
                "sys/fs/cgroup/pod/memory.current": f"{GB // 2}\n",
            },
            GB,
            GB // 2,
        ),
        (
            {  # version 1 in a container that sees the host's path
                "proc/self/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GB}\n",
                "sys/fs/cgroup/memory/memory.stat": f"total_inactive_file {GB // 2}\n",
            },
            2 * GB,
            GB // 2,
        ),
    ],
)
def test_a_containers_memory_is_shown(
    tmp_path: Path, contents: dict[str, str], total: int, used: int
) -> None:
    sample = Sampler(os.getpid(), files(tmp_path, contents), no_gpu()).sample(0)
    assert (sample.ram_total, sample.ram_used) == (total, used)


@pytest.mark.parametrize(
    "contents",
    [
        {},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"},
        {
            "proc/self/cgroup": "4:memory:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{2**50}\n"},
        {"proc/self/cgroup": "nonsense\n::\n", "sys/fs/cgroup/memory.max": "what\n"},
    ],
)
def test_without_a_limit_it_is_the_machines(tmp_path: Path, contents: dict[str, str]) -> None:
    root = files(tmp_path, contents)
    assert Sampler(os.getpid(), root, no_gpu()).sample(0).ram_total == psutil.virtual_memory().total


V2 = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}
V1 = {
    "proc/self/cgroup": "1:cpu:/\n2:cpuacct:/\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
}


@pytest.mark.parametrize(
    ("limit", "usage", "unit"),
    [
        (V2, "sys/fs/cgroup/cpu.stat", "usage_usec {:.0f}\nuser_usec 1\n"),
        (V1, "sys/fs/cgroup/cpuacct/cpuacct.usage", "{}\n"),
    ],
)
def test_a_containers_processor_time_is_of_its_share(
    tmp_path: Path, limit: dict[str, str], usage: str, unit: str
) -> None:
    def spend(seconds: float) -> None:
        scale = 10**6 if "usec" in unit else SECOND
        files(tmp_path, {usage: unit.format(int(seconds * scale))})

    files(tmp_path, limit)
    spend(7.0)
    sampler = Sampler(os.getpid(), tmp_path, no_gpu())
    assert sampler.sample(0).cpu_percent is None
    spend(7.25)
    assert sampler.sample(SECOND).cpu_percent == pytest.approx(50.0)
    assert environment(tmp_path, no_gpu())["machine_info"]["cpu"]["usable"] == 0.5


@pytest.mark.parametrize("quota", ["max 100000\n", "0 0\n", ""])
def test_without_a_quota_every_processor_is_usable(tmp_path: Path, quota: str) -> None:
    root = files(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": quota})
    usable = environment(root, no_gpu())["machine_info"]["cpu"]["usable"]
    assert usable == len(os.sched_getaffinity(0))


def test_a_device_is_read() -> None:
    nvml = FakeNvml({os.getpid(): 2 * GB, 1: 5 * GB})
    sample = Sampler(os.getpid(), gpu=gpu(nvml)).sample(0)
    assert (sample.gpu_percent, sample.vram_used, sample.vram_total) == (41.0, 3 * GB, 80 * GB)
    assert sample.vram_engine == 2 * GB


@pytest.mark.parametrize(
    ("nvml", "reason"),
    [
        (no_library, "pynvml"),
        (lambda: FakeNvml(nvmlInit="Driver Not Loaded"), "Driver Not Loaded"),
        (lambda: FakeNvml(nvmlDeviceGetHandleByIndex="Invalid"), "Invalid"),
        (lambda: SimpleNamespace(), "not the one of nvidia-ml-py"),
    ],
)
def test_without_a_device_readings_are_absent_and_the_reason_is_kept(
    nvml: Callable[[], Any], reason: str
) -> None:
    sampler = Sampler(os.getpid(), gpu=Gpu(nvml, "0"))
    sample = sampler.sample(0)
    readings = (sample.gpu_percent, sample.vram_used, sample.vram_total, sample.vram_engine)
    assert readings == (None,) * 4
    assert reason in sampler.reasons["gpu"]


def test_devices_hidden_by_the_environment_are_left_alone() -> None:
    hidden = gpu(FakeNvml(), visible="")
    assert hidden.memory() == (None, None)
    assert "CUDA_VISIBLE_DEVICES" in hidden.reasons["gpu"]


@pytest.mark.parametrize(
    ("visible", "call"),
    [("3,1", "nvmlDeviceGetHandleByIndex"), ("MIG-7", "nvmlDeviceGetHandleByUUID")],
)
def test_the_first_visible_device_is_read(visible: str, call: str) -> None:
    nvml = FakeNvml()
    gpu(nvml, visible)
    assert call in nvml.asked


def test_a_slice_is_read_for_itself() -> None:
    nvml = FakeNvml(nvmlDeviceGetUtilizationRates="Not Supported")
    nvml.slices = True
    sampler = Sampler(os.getpid(), gpu=gpu(nvml))
    sample = sampler.sample(0)
    assert (sample.vram_total, sample.gpu_percent) == (10 * GB, None)
    assert sampler.reasons["gpu_percent"] == "Not Supported"


@pytest.mark.parametrize("pids", [{}, {1: GB}, {os.getpid(): None}])
def test_a_process_that_is_not_listed_has_unknown_memory_not_none(
    pids: dict[int, int | None],
) -> None:
    nvml = FakeNvml(pids)
    sampler = Sampler(os.getpid(), gpu=gpu(nvml))
    assert sampler.sample(0).vram_engine is None
    assert "vram_engine" in sampler.reasons
    nvml.pids = {os.getpid(): GB}
    assert sampler.sample(1).vram_engine == GB
    assert "vram_engine" not in sampler.reasons


def test_a_refused_or_lost_reading_is_asked_for_once() -> None:
    nvml = FakeNvml({os.getpid(): GB})
    sampler = Sampler(os.getpid(), gpu=gpu(nvml))
    assert sampler.sample(0).vram_used == 3 * GB
    nvml.refused = {"nvmlDeviceGetMemoryInfo": "GPU is lost"}
    for now in range(1, 5):
        assert sampler.sample(now).vram_used is None
    assert nvml.asked.count("nvmlDeviceGetMemoryInfo") == 2
    assert sampler.reasons["vram"] == "GPU is lost"


def test_the_environment_can_be_logged_and_names_nobody() -> None:
    told = environment(gpu=gpu(FakeNvml()))
    text = json.dumps(told, allow_nan=False)
    assert told["machine_info"]["node"] is None
    assert told["machine_info"]["gpu"]["total_memory"] == 80 * GB
    assert told["packages"]["numpy"]
    assert str(Path.home()) not in text


def test_the_environment_imports_no_package_it_lists() -> None:
    code = (
        "import sys; from tokenhud.sessions.machine import environment; environment();"
        "print(sorted({'torch', 'transformers', 'textual'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ast.literal_eval(out.stdout) == []


def test_the_poller_appends_until_it_is_stopped() -> None:
    appended: list[Sample] = []
    third = threading.Event()

    def append(sample: Sample) -> None:
        appended.append(sample)
        if len(appended) == 3:
            third.set()

    times = iter(range(10**6))
    poller = Poller(Sampler(os.getpid(), gpu=no_gpu()), append, lambda: next(times), 0.001)
    poller.start()
    assert third.wait(timeout=30)
    poller.stop()
    count = len(appended)
    assert [sample.t_ns for sample in appended] == list(range(count))
    assert not any(each.name == "machine" for each in threading.enumerate())
    poller.stop()
    assert len(appended) == count


class HungSampler(Sampler):
    """A driver that answers only when it is let go."""

    let_go = threading.Event()
    asked = threading.Event()

    def sample(self, now_ns: int) -> Sample:
        self.asked.set()
        self.let_go.wait(timeout=30)
        return Sample(now_ns)


def test_a_reading_that_hangs_is_left_behind() -> None:
    appended: list[Sample] = []
    sampler = HungSampler(os.getpid(), gpu=no_gpu())
    poller = Poller(sampler, appended.append)
    poller.start()
    assert sampler.asked.wait(timeout=30)
    poller.stop()
    sampler.let_go.set()
    for each in threading.enumerate():
        if each.name == "machine":
            each.join(timeout=30)
    assert appended == []


def test_a_poller_that_never_began_can_be_stopped() -> None:
    Poller(Sampler(os.getpid(), gpu=no_gpu()), lambda _: None).stop()
