#!/usr/bin/env python3
"""How a demo call sounded: PESQ (ITU-T P.862, narrow band) of what each side heard.

Use:   python3 -m venv /tmp/pesq && /tmp/pesq/bin/pip install numpy pesq
       cargo run --release -- demo --press --out /tmp/call
       /tmp/pesq/bin/python tests/figures/score.py /tmp/call
Needs: the folder `demo` left (callee-heard.wav, visitor-heard.wav) and the two
       speeches in src/simulator/speech. Changes nothing.

For each direction: the score of the bare codec (speech through G.711 mu-law and
back), the score of what was heard, and the difference, which is what callbox cost.
The mark: within 0.05 of the bare codec.
"""

import sys
import wave
from pathlib import Path

import numpy as np
from pesq import pesq

SPEECH = Path(__file__).resolve().parents[2] / "src" / "simulator" / "speech"
RATE = 8000


def read(path):
    with wave.open(str(path)) as file:
        if file.getsampwidth() != 2 or file.getnchannels() != 1:
            sys.exit(f"{path}: want 16 bit, mono")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        rate = file.getframerate()
    samples = samples.astype(np.float64)
    if rate % RATE:
        sys.exit(f"{path}: {rate} Hz is not a multiple of {RATE}")
    return decimate(samples, rate // RATE)


def decimate(samples, factor):
    """Linear-phase low pass at 0.45 of the new rate, then every factor-th sample."""
    if factor == 1:
        return samples
    taps = np.arange(-64 * factor, 64 * factor + 1)
    low = np.sinc(0.9 * taps / factor) * 0.9 / factor * np.blackman(len(taps))
    return np.convolve(samples, low, "same")[::factor]


def mu_law_round_trip(samples):
    """G.711 as the standard's tables have it: 14 bit in, 8 segments of 16 steps."""
    pcm = np.clip(np.round(samples), -32768, 32767).astype(int)
    sign = pcm < 0
    magnitude = np.minimum(np.abs(pcm) // 4, 8158) + 33
    segment = np.floor(np.log2(magnitude)).astype(int) - 5
    step = (magnitude >> (segment + 1)) & 15
    value = (((2 * step + 33) << segment) - 33) * 4
    return np.where(sign, -value, value).astype(np.float64)


def align(reference, heard):
    """The stretch of `heard` that lines up best with `reference`, and its start."""
    size = 1 << int(np.ceil(np.log2(len(reference) + len(heard))))
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(reference, size))
    start = int(np.argmax(np.fft.irfft(spectrum)[: len(heard)]))
    cut = heard[start : start + len(reference)]
    return np.pad(cut, (0, len(reference) - len(cut))), start


def score(reference, heard):
    return pesq(RATE, reference.astype(np.int16), heard.astype(np.int16), "nb")


def main():
    folder = Path(sys.argv[1])
    pairs = [("visitor", "callee-heard.wav"), ("callee", "visitor-heard.wav")]
    print(f"{'who was heard':<16}{'bare codec':>12}{'through callbox':>18}{'difference':>12}")
    for speaker, file in pairs:
        speech = read(SPEECH / f"{speaker}.wav")
        heard, _ = align(speech, read(folder / file))
        bare, through = score(speech, mu_law_round_trip(speech)), score(speech, heard)
        print(f"{speaker:<16}{bare:>12.3f}{through:>18.3f}{through - bare:>12.3f}")


if __name__ == "__main__":
    main()
