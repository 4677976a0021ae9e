#!/usr/bin/env python3
"""A witness that shares no code with Lumos: calls the same artifacts from Python, the Wasm module
through wasmtime's published package and the native library through ctypes, and compares the ratio
of the two with the one that Lumos measures in its suite `call`.

    pip install 'wasmtime==48.*'
    cargo xtask build
    python3 harness/overhead/witness.py

It needs Python 3.11 and takes some minutes, in which nothing else should run. Rounds of its own
alternate with rounds of Lumos; both are on the last processor that this process may use. The
package may have another version of wasmtime than Lumos, and so another compiler: the table says
which. Ratios are medians over rounds of the ratio of a round's medians.
"""

import ctypes
import json
import math
import os
import pathlib
import random
import statistics
import struct
import subprocess
import sys
import time
import tomllib
from importlib.metadata import version

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "target/lumos/artifacts"
# Functions without memory traffic to speak of and with. What a call from Python takes by itself,
# tens of microseconds, is taken off: it is that of the function that does nothing.
NOTHING = "noop"
CASES = {
    "primes": "2.5M",
    "fibonacci": "2.5M",
    "n-body": "100k",
    "matrix-multiply": "256x256",
    "mandelbrot": "512px",
}
ROUNDS = 5
SAMPLES = 9
AGREE = 0.05


def artifact(kind, function):
    manifest = json.loads((ARTIFACTS / "manifest.json").read_text())
    for found in manifest["artifacts"]:
        is_host = kind == "wasm" or found["target"].startswith(os.uname().machine)
        if (found["kind"], found.get("function")) == (kind, function) and is_host:
            if not found.get("variant"):
                return ARTIFACTS / found["path"]
    sys.exit(f"there is no {kind} of {function}: `cargo xtask build` makes it")


def payload(function):
    workload = tomllib.loads((ROOT / f"workloads/{function}.toml").read_text())
    known = {found["id"]: found["request"] for found in workload["payload"]}
    wanted = CASES[function]
    if wanted not in known:
        sys.exit(f"{function} has no payload {wanted}: there are {', '.join(known)}")
    return wanted, known[wanted]["text"].encode()


class Native:
    """The shared library, through ctypes."""

    def __init__(self, path):
        self.library = ctypes.CDLL(str(path))
        self.library.lumos_open.restype = ctypes.c_void_p
        self.library.lumos_reserve.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        self.library.lumos_invoke.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        self.context = self.library.lumos_open()

    def call(self, request):
        self.library.lumos_reserve(self.context, len(request))
        ctypes.memmove(self.exchange()[0], request, len(request))
        start = time.perf_counter_ns()
        status = self.library.lumos_invoke(self.context, len(request))
        time_ns = time.perf_counter_ns() - start
        _, _, address, length = self.exchange()
        return time_ns, status, ctypes.string_at(address, length)

    def exchange(self):
        return struct.unpack("<4Q", ctypes.string_at(self.context, 32))


class Wasm:
    """The module, through wasmtime's package."""

    def __init__(self, path):
        import wasmtime

        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        self.store.set_wasi(wasmtime.WasiConfig())
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        module = wasmtime.Module.from_file(engine, str(path))
        self.exports = linker.instantiate(self.store, module).exports(self.store)
        self.exports["_initialize"](self.store)
        self.memory = self.exports["memory"]
        self.invoke = self.exports["lumos_invoke"]
        self.context = self.exports["lumos_open"](self.store)

    def call(self, request):
        self.exports["lumos_reserve"](self.store, self.context, len(request))
        self.memory.write(self.store, request, self.exchange()[0])
        start = time.perf_counter_ns()
        status = self.invoke(self.store, self.context, len(request))
        time_ns = time.perf_counter_ns() - start
        _, _, address, length = self.exchange()
        return time_ns, status, bytes(self.memory.read(self.store, address, address + length))

    def exchange(self):
        return struct.unpack("<4Q", self.memory.read(self.store, self.context, self.context + 32))


def load(function):
    return Native(artifact("native-lib", function)), Wasm(artifact("wasm", function))


def round_of(function):
    """In a fresh process: the ratio of medians of samples that were taken in turns."""
    _, request = payload(function)
    sides = load(function)
    answers = [side.call(request)[1:] for side in sides]
    if answers[0] != answers[1] or answers[0][0] != 0:
        sys.exit(f"{function}: the two do not answer alike")
    times = [[], []]
    for _ in range(SAMPLES):
        for side in random.sample([0, 1], 2):
            sides[side].call(request)
            times[side].append(sides[side].call(request)[0])
    idle = [[side.call(b"")[0] for _ in range(10 * SAMPLES)] for side in load(NOTHING)]
    native, wasm = (statistics.median(time) - statistics.median(none) for time, none in zip(times, idle))
    return wasm / native


def lumos(functions):
    """A run of Lumos: the ratio of each function, with its interval."""
    ids = sorted({CASES[function] for function in functions})
    command = ["cargo", "xtask", "bench", "--profile", "full", "--suite", "call"]
    command += ["--runtime", "native", "--runtime", "wasmtime-jit"]
    for name in functions:
        command += ["--function", name]
    for name in ids:
        command += ["--payload", name]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    report = json.loads((ROOT / "target/lumos/report/report.json").read_text())
    found = {}
    for ratio in report["ratios"]:
        is_ours = ratio["runtime"] == "wasmtime-jit" and ratio["reference"] == "native"
        if is_ours and CASES.get(ratio["function"]) == ratio["payload"]:
            found[ratio["function"]] = (ratio["ratio"], ratio["low"], ratio["high"])
    return found, report["run"]["engines"]


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--round":
        print(round_of(sys.argv[2]))
        return
    own = {function: [] for function in CASES}

    def rounds(count):
        for _ in range(count):
            for function in CASES:
                word = [sys.executable, __file__, "--round", function]
                text = subprocess.run(word, check=True, capture_output=True, text=True).stdout
                own[function].append(float(text))

    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    rounds(ROUNDS // 2)
    os.sched_setaffinity(0, allowed)
    theirs, engines = lumos(list(CASES))
    os.sched_setaffinity(0, {max(allowed)})
    rounds(ROUNDS - ROUNDS // 2)
    print(f"wasmtime of the package {version('wasmtime')}; of Lumos:", *engines, sep="\n  ")
    worst = 0
    for function, payload_id in CASES.items():
        witness = statistics.median(own[function])
        ratio, low, high = theirs[function]
        apart = math.exp(abs(math.log(witness / ratio))) - 1
        worst = max(worst, apart)
        line = f"{function:<16} {payload_id:<6} witness {witness:.3f} ({min(own[function]):.3f} to"
        line += f" {max(own[function]):.3f}), Lumos {ratio:.3f} ({low:.3f} to {high:.3f})"
        print(f"{line}: {apart:.1%} apart")
    sys.exit(worst > AGREE)


main()
