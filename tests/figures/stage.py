"""A call of callbox on a sound card of files and a clock, for `rivals` and `spacing`: the card is
tests/figures/paced.c, the service is `callbox simulate`.

Microphone and callee repeat the demo's two speeches, which fit into one another.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import wave
from contextlib import contextmanager

import numpy as np

from readme import ROOT
from score import SPEECH, decimate, read

RATE = 8000
# The speeches are repeated each so many seconds, so many times.
LOOP, CALL_LOOPS = 9, 8
# A microphone's own noise, -78 dBFS: one that gives nothing but zeros is a fault, and callbox says
# so with a tone.
HISS = 4
# From a press to the simulator's first frame.
LEAD = 1.6

CALLBOX_CONFIG = """
[service]
from_number = "+15005550100"
phone_number_id = "8d7f2a9c-41a6-4f0b-b1de-6f0c4b7a9e02"
base_url = "http://127.0.0.1:{api}/api/v1/phone"
api_key_file = "{folder}/api-key"
[ingress]
mode = "public-url"
public_url = "ws://127.0.0.1:{front}"
listen = "127.0.0.1:{device}"
[[button]]
name = "door"
to = "+15005550199"
[sound]
microphone = "mic"
speaker = "spk"
rate = {rate}
period_ms = {period}
{sound}
[store]
path = "{folder}/calls.db"
[control]
socket = "{folder}/control.sock"
"""


class Stage:
    """A folder with the card, and what is spoken into it."""

    def __init__(self, folder, binary):
        self.folder, self.binary = folder, binary
        library = folder / "libpaced.so"
        source = ROOT / "tests" / "figures" / "paced.c"
        build = ["gcc", "-O2", "-shared", "-fPIC", "-DPIC", "-o", library, source, "-lasound"]
        subprocess.run(build, check=True)
        self.visitor = read(SPEECH / "visitor.wav")
        self.callee = read(SPEECH / "callee.wav")
        spoken = np.pad(self.visitor, (0, LOOP * RATE - len(self.visitor)))
        hiss = np.random.default_rng(1)
        for factor in (1, 2, 6):
            sound = interpolate(spoken, factor)
            sound = np.clip(np.round(sound + hiss.normal(0, HISS, len(sound))), -32768, 32767)
            sound.astype("<i2").tofile(folder / f"mic-{RATE * factor}.raw")
        loop = np.pad(self.callee, (0, LOOP * RATE - len(self.callee)))
        self.far = np.tile(loop, CALL_LOOPS)
        with wave.open(str(folder / "far.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(self.far.astype("<i2").tobytes())

    def set_up(self):
        """The card anew: its time begins now."""
        self.epoch = int(time.monotonic())
        for path in [*self.folder.glob("*.heard"), *self.folder.glob("*.xruns")]:
            path.unlink()
        card = "".join(
            f'pcm.{name} {{ type paced file "{self.folder}/{name}" epoch {self.epoch} }}\n'
            for name in ("mic", "spk")
        )
        (self.folder / "asound.conf").write_text(
            f'</usr/share/alsa/alsa.conf>\npcm_type.paced.lib "{self.folder}/libpaced.so"\n{card}'
        )
        self.environment = os.environ | {
            "ALSA_CONFIG_PATH": str(self.folder / "asound.conf"),
            "HOME": str(self.folder),
        }

    def start(self, *command, log):
        """In a session of its own, as a service is: the scheduler weighs sessions first."""
        output = open(self.folder / log, "wb")
        return subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def next_loop(self, after):
        """When the microphone's speech begins anew, `after` from now at least."""
        ahead = time.monotonic() + after - self.epoch
        return self.epoch + int(-(-ahead // LOOP)) * LOOP

    def xruns(self):
        return sum(path.read_text().count("\n") for path in self.folder.glob("*.xruns"))

    def heard(self, rate):
        path = self.folder / f"spk-{rate}.heard"
        return decimate(np.fromfile(path, "<i2").astype(float), rate // RATE)


def interpolate(samples, factor):
    """Zeros between the samples, then a linear-phase low pass."""
    if factor == 1:
        return samples
    spread = np.zeros(len(samples) * factor)
    spread[::factor] = samples
    taps = np.arange(-64 * factor, 64 * factor + 1)
    return np.convolve(spread, np.sinc(taps / factor) * np.blackman(len(taps)), "same")


def stop(*processes):
    for process in processes:
        process.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def fail(stage, what, log):
    sys.exit(f"{what}\n{(stage.folder / log).read_text(errors='replace')[-2000:]}")


@contextmanager
def call(stage, device, front, rate, period, sound, limits=()):
    """A call of callbox, which listens at `device` and is connected to at `front`: its process,
    and when the callee's and the microphone's speech begin. `limits`: a command that runs it."""
    stage.set_up()
    folder, api = stage.folder, port()
    config = CALLBOX_CONFIG.format(
        api=api,
        folder=folder,
        front=front,
        device=device,
        rate=rate,
        period=period,
        sound=sound,
    )
    (folder / "callbox.toml").write_text(config)
    (folder / "api-key").write_text("simulator-admin-key\n")
    speech = ["--speech", folder / "far.wav"]
    service = stage.start(
        stage.binary, "simulate", "--port", str(api), *speech, log="service.log"
    )
    own = ["--config", str(folder / "callbox.toml")]
    box = None
    try:
        time.sleep(0.5)
        box = stage.start(*limits, stage.binary, "run", *own, log="callbox.log")
        begins = stage.next_loop(3 + LEAD)
        wait_until(begins - LEAD)
        pressed = subprocess.run([stage.binary, "call", *own], capture_output=True, text=True)
        if pressed.returncode:
            fail(stage, pressed.stderr, "callbox.log")
        yield box, begins
    finally:
        stop(*(process for process in (box, service) if process))
    (folder / "calls.db").unlink()


def wait_until(at):
    time.sleep(max(0.0, at - time.monotonic()))


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def media(pieces):
    """Payloads of the media frames in a WebSocket's bytes, after its handshake."""
    data = b"".join(piece for _, piece in pieces)
    ends = np.cumsum([len(piece) for _, piece in pieces])
    at = data.find(b"\r\n\r\n") + 4
    while at >= 4 and at + 2 <= len(data):
        masked, length, head = data[at + 1] & 128, data[at + 1] & 127, 2
        if length >= 126:
            head += 2 if length == 126 else 8
            length = int.from_bytes(data[at + 2 : at + head], "big")
        key, head = (data[at + head : at + head + 4], head + 4) if masked else (bytes(4), head)
        body = np.frombuffer(data[at + head : at + head + length], np.uint8)
        opcode, at = data[at] & 15, at + head + length
        if at > len(data):
            return
        body = body ^ np.resize(np.frombuffer(key, np.uint8), len(body))
        if opcode == 1:
            frame = json.loads(body.tobytes())
            if frame["event"] == "media":
                piece = np.searchsorted(ends, at)
                yield pieces[piece][0], base64.b64decode(frame["media"]["payload"])
