//! The playout buffer against scripts of line and card, and against whole
//! calls over a seeded line.

mod audio_line;
#[path = "audio_line/far.rs"]
mod far;

use std::sync::Arc;

use audio_line::Rig;
use callbox::audio::codec::{Block, Decoder};
use callbox::audio::engine::Format;
use callbox::audio::playout::{Config, Playout};
use callbox::audio::{self, BUS_BLOCK, BUS_CHUNK, Stats};
use far::{Far, listen};

/// A voice of sorts: 200 Hz with overtones, about -12 dBFS.
fn voice(n: u64) -> f32 {
    let angle = n as f32 % 80.0 / 80.0 * std::f32::consts::TAU;
    6000.0 * (angle.sin() + 0.5 * (2.0 * angle).sin() + 0.3 * (5.0 * angle).sin())
}

/// Plays a script; one letter of answer per `G`, runs as `3m`.
///
/// `P` a block arrives, `L` one is lost, `S` the next two arrive swapped, `D`
/// the last one again, `J` the numbering jumps ahead by 10 s, `R` it starts again
/// at 0, `G` the card takes 20 ms. `(PG)50` is fifty times `PG`.
///
/// Heard: `b` the far end, `m` made up, `s` something was skipped, `-` silence.
fn play(script: &str) -> String {
    let stats = Arc::new(Stats::default());
    let mut playout = Playout::new(&Config::default(), Arc::clone(&stats));
    let mut decoder = Decoder::new();
    playout.start();
    let mut seq = 0u32;
    let mut heard: Vec<(usize, char)> = vec![];
    for event in unroll(script).chars() {
        let mut put = |seq| put(&mut playout, seq, voice);
        match event {
            'P' => put(seq),
            'L' => {}
            'D' => {
                put(seq.wrapping_sub(1));
                continue;
            }
            'S' => {
                put(seq.wrapping_add(1));
                put(seq);
                seq = seq.wrapping_add(1);
            }
            'J' => {
                seq = seq.wrapping_add(500);
                continue;
            }
            'R' => {
                seq = 0;
                continue;
            }
            'G' => {
                let letter = take(&mut playout, &mut decoder, &stats);
                match heard.last_mut() {
                    Some((count, last)) if *last == letter => *count += 1,
                    _ => heard.push((1, letter)),
                }
                continue;
            }
            other => panic!("unknown event {other}"),
        }
        seq = seq.wrapping_add(1);
    }
    let runs: Vec<String> = heard.iter().map(|(n, l)| format!("{n}{l}")).collect();
    runs.join(" ")
}

/// Puts block `seq` of a sound, by bus sample.
fn put(playout: &mut Playout, seq: u32, sound: fn(u64) -> f32) {
    let first = u64::from(seq) * BUS_BLOCK as u64;
    playout.put(Block {
        seq,
        samples: &std::array::from_fn(|n| sound(first + n as u64) as i16),
        made_up: false,
    });
}

fn take(playout: &mut Playout, decoder: &mut Decoder, stats: &Stats) -> char {
    let before = stats.snapshot();
    let mut energy = 0.0;
    for _ in 0..2 {
        let mut bus = [0.0; BUS_CHUNK];
        playout.render(BUS_CHUNK, &mut bus, decoder);
        energy += bus.iter().map(|s| s * s).sum::<f32>();
    }
    let after = stats.snapshot().since(&before);
    let rms = (energy / 320.0).sqrt();
    match (after.skipped_ms, after.concealed_ms) {
        _ if rms < 200.0 => '-',
        (1.., _) => 's',
        (_, 5..) => 'm',
        _ => 'b',
    }
}

/// `(PG)3` to `PGPGPG`.
fn unroll(script: &str) -> String {
    let mut text = String::new();
    for part in script.split_whitespace() {
        match part.strip_prefix('(').and_then(|part| part.split_once(')')) {
            Some((events, times)) => text += &events.repeat(times.parse().unwrap()),
            None => text += part,
        }
    }
    text
}

#[test]
fn scripts() {
    let cases = [
        ("steady line", "(PG)50", "50b"),
        // What TCP does: everything stands, then it all comes at once.
        (
            "a stall of a second is skipped, not replayed",
            "(PG)50 (G)50 (P)50 (PG)50",
            "50b 4m 46- 1s 49b",
        ),
        (
            "a stall that ends in two bursts",
            "(PG)50 (G)50 (P)30 GG (P)22 (PG)50",
            "50b 4m 48- 1s 49b",
        ),
        (
            "a short stall makes the delay grow, nothing is lost",
            "(PG)50 GG PPPG (PG)50",
            "50b 2m 51b",
        ),
        (
            "the second late block finds the delay grown",
            "(PG)50 G PPG (PG)20 G PPG (PG)50",
            "50b 1m 73b",
        ),
        (
            "a stall of more than is held, of which the end was refused",
            "(PG)50 (G)65 (P)50 (L)15 (PG)50",
            "50b 4m 61- 1s 49b",
        ),
        (
            "a stall of more than is held, in two bursts",
            "(PG)50 (G)150 (P)80 G (P)71 G (PG)50",
            "50b 4m 147- 1s 50b",
        ),
        ("chunks of 60 ms", "(PPPGGG)30", "1- 89b"),
        (
            "a drought is no stall: what comes late is heard",
            "(PG)50 (G)50 (PG)50",
            "50b 4m 47- 49b",
        ),
        (
            "one lost block is made up",
            "(PG)50 L G (PG)20",
            "50b 2m 19b",
        ),
        (
            "five lost blocks fade to silence",
            "(PG)50 (LG)5 (PG)20",
            "50b 4m 1- 1m 19b",
        ),
        (
            "the second swapped pair finds the delay grown",
            "(PG)50 G SG G SG (PG)20",
            "50b 1m 23b",
        ),
        ("duplicates are not heard", "(PDG)50", "50b"),
        ("numbering jumps ahead", "(PG)50 J (PG)50", "50b 1m 49b"),
        (
            "sender starts again at 0",
            "(PG)200 R (PG)50",
            "200b 1m 49b",
        ),
        (
            "sender starts again before that can be told from late",
            "(PG)30 R (PG)50",
            "30b 4m 6- 1m 39b",
        ),
    ];
    let mut wrong = vec![];
    for (name, script, want) in cases {
        let got = play(script);
        if got != want {
            wrong.push(format!("{name}: {script}\n   got {got}\n  want {want}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A voice of one tone with a pitch that fits nothing.
fn hum(n: u64) -> f32 {
    8000.0 * ((n as f64 * 187.3 / 16_000.0).fract() * std::f64::consts::TAU).sin() as f32
}

/// What is heard of [`hum`] when `arrive` says how many blocks come before each
/// 20 ms, and which of them are lost.
fn hummed(arrive: impl Fn(usize) -> usize, lost: &[u32]) -> (Vec<f32>, Stats) {
    let stats = Arc::new(Stats::default());
    let mut playout = Playout::new(&Config::default(), Arc::clone(&stats));
    let mut decoder = Decoder::new();
    playout.start();
    let (mut seq, mut heard) = (0u32, vec![]);
    for n in 0..150 {
        for _ in 0..arrive(n) {
            if !lost.contains(&seq) {
                put(&mut playout, seq, hum);
            }
            seq += 1;
        }
        for _ in 0..2 {
            let mut bus = [0.0; BUS_CHUNK];
            playout.render(BUS_CHUNK, &mut bus, &mut decoder);
            heard.extend(bus);
        }
    }
    drop(playout);
    (heard, Arc::into_inner(stats).unwrap())
}

#[test]
fn a_skip_within_a_voice_joins_where_it_is_alike() {
    // At 60 x 20 ms the line gets quicker by this much at once.
    for quicker in 15..25 {
        let arrive = |n| if n == 60 { 1 + quicker } else { 1 };
        let (heard, stats) = hummed(arrive, &[]);
        assert!(stats.snapshot().skipped_ms > 50, "{quicker}");
        let (turns, _) = heard[2000..].as_chunks::<85>();
        let quietest = turns
            .iter()
            .map(|turn| (turn.iter().map(|s| s * s).sum::<f32>() / 85.0).sqrt())
            .fold(f32::MAX, f32::min);
        // Joined against each other, they would leave nothing of 5657.
        assert!(quietest > 4500.0, "{quicker}: {quietest}");
    }
}

/// [`hum`] with a click at 2.5 s.
fn click(n: u64) -> f32 {
    if (40_000..40_008).contains(&n) {
        30_000.0
    } else {
        hum(n)
    }
}

/// The largest step in a hum.
fn step(heard: &[f32]) -> f32 {
    let turn = 2.0 * (std::f32::consts::TAU * 187.3 / 16e3).cos();
    let steps = heard.windows(3).map(|w| (w[0] + w[2] - turn * w[1]).abs());
    steps.fold(0.0, f32::max)
}

/// The shortest and the longest time from one turn of a hum to the next.
fn turns(heard: &[f32]) -> (usize, usize) {
    let rises = heard.windows(2).enumerate();
    let rises: Vec<usize> = rises
        .filter_map(|(n, w)| (w[0] < 0.0 && w[1] >= 0.0).then_some(n))
        .collect();
    let lengths = rises.windows(2).map(|w| w[1] - w[0]);
    lengths.fold((usize::MAX, 0), |(min, max), l| (min.min(l), max.max(l)))
}

#[test]
fn too_long_a_delay_is_played_off_by_pitch_periods() {
    for quicker in 1..=9u32 {
        let stats = Arc::new(Stats::default());
        let mut playout = Playout::new(&Config::default(), Arc::clone(&stats));
        let mut decoder = Decoder::new();
        playout.start();
        let (mut seq, mut heard, mut places) = (0, vec![], vec![]);
        for n in 0..150 {
            // At 60 x 20 ms the line gets quicker by this much at once.
            for _ in 0..if n == 60 { 1 + quicker } else { 1 } {
                put(&mut playout, seq, click);
                seq += 1;
            }
            for _ in 0..2 {
                let mut bus = [0.0; BUS_CHUNK];
                playout.render(BUS_CHUNK, &mut bus, &mut decoder);
                heard.extend(bus);
                places.push(playout.place().unwrap());
            }
        }
        let stats = stats.snapshot();
        let excess = u64::from(quicker) * 20;
        assert_eq!((stats.skipped_ms, stats.concealed_ms), (0, 0), "{quicker}");
        assert!(
            (excess - 16..excess + 10).contains(&stats.stretched_ms),
            "{quicker}: {stats:?}"
        );
        assert!(stats.delay_ms < 16.0 + 15.0, "{quicker}: {stats:?}");
        let (at, _) = (0..).zip(&heard).max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        let hum = &heard[2000..at - 100];
        assert!(step(hum) < 600.0, "{quicker}: {}", step(hum));
        let (shortest, longest) = turns(hum);
        assert!(
            shortest > 79 && longest < 92,
            "{quicker}: turns of {shortest} to {longest}"
        );
        // The place is that of what goes into the filter between the clocks.
        let place = places[at / BUS_CHUNK] - (BUS_CHUNK - at % BUS_CHUNK) as i64;
        assert!(
            (40_004..40_030).contains(&place),
            "{quicker}: click at {place}"
        );
    }
}

#[test]
fn what_is_held_lasts_longer_when_the_next_packet_is_late() {
    // Nothing comes for 60 ms, and later for 80.
    let arrive = |n| match n {
        40..43 | 110..114 => 0,
        43 => 4,
        114 => 5,
        _ => 1,
    };
    let (heard, stats) = hummed(arrive, &[]);
    let stats = stats.snapshot();
    // 47 ms the first time, when it was not known how late packets may be; then
    // 18, less two turns of the hum.
    assert!((50..58).contains(&stats.concealed_ms), "{stats:?}");
    assert!((10..14).contains(&stats.stretched_ms), "{stats:?}");
    assert_eq!(stats.skipped_ms, 0);
    let later = &heard[100 * 320..];
    assert!(step(later) < 600.0, "{}", step(later));
    let (shortest, longest) = turns(&heard[100 * 320..113 * 320]);
    assert!(shortest > 79 && longest < 92, "{shortest} to {longest}");
}

/// A voice every other 600 ms, and a room of -58 dBFS.
fn voice_in_a_room(n: u64) -> f32 {
    let noise = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / 2f32.powi(24) - 0.5;
    let voice = if (n / 9600).is_multiple_of(2) {
        voice(n)
    } else {
        0.0
    };
    voice + 140.0 * noise
}

#[test]
fn a_dry_line_sounds_like_the_room_behind_the_voice() {
    let rms = |samples: &[f32]| {
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    };
    let stats = Arc::new(Stats::default());
    let mut playout = Playout::new(&Config::default(), Arc::clone(&stats));
    let mut decoder = Decoder::new();
    let mut take = |playout: &mut Playout, periods: usize| {
        let mut heard = vec![0.0; periods * BUS_CHUNK];
        for bus in heard.chunks_mut(BUS_CHUNK) {
            playout.render(BUS_CHUNK, bus, &mut decoder);
        }
        heard
    };
    // Twice, since nothing of one far end's room is heard in the call of another.
    for _ in 0..2 {
        playout.start();
        let before = take(&mut playout, 50);
        assert!(before[1000..].iter().all(|s| *s == 0.0));
        for seq in 0..160 {
            put(&mut playout, seq, voice_in_a_room);
            take(&mut playout, 2);
        }
        let dry = take(&mut playout, 200);
        // Once the voice has faded, to the end: -58 dBFS are 40.
        for second in [&dry[2000..16_000], &dry[16_000..]] {
            assert!((30.0..55.0).contains(&rms(second)), "{}", rms(second));
        }
        playout.stop();
        take(&mut playout, 2);
        assert!(take(&mut playout, 10).iter().all(|s| *s == 0.0));
    }
}

#[test]
fn the_way_back_from_what_is_made_up_has_no_step() {
    for lost in 50..60 {
        // Three blocks, so that the voice has lost its phase.
        let (heard, stats) = hummed(|_| 1, &[lost, lost + 1, lost + 2]);
        assert!(stats.snapshot().concealed_ms >= 55);
        let step = step(&heard[2000..]);
        assert!(step < 600.0, "{lost}: {step}");
    }
}

const CARD: Format = Format {
    rate: 16_000,
    channels: 1,
};
const PERIOD: usize = 160;
/// What the card has in its buffer when it asks for more: two periods of three.
const CARD_BUFFER_MS: f64 = 20.0;

fn rig() -> Rig {
    Rig::new(&audio::Config::default(), CARD, CARD)
}

/// A pulse of 2 ms in the middle of every tenth block.
fn pulses(n: u64) -> f32 {
    let from_middle = (n % 1600) as f32 - 80.0;
    if from_middle.abs() > 8.0 {
        return 0.0;
    }
    10_000.0 * (1.0 + (from_middle / 8.0 * std::f32::consts::PI).cos())
}

/// From packet at the socket to its first sample at the card, for each pulse.
fn delays(far: &mut Far, ms: f64) -> Vec<f64> {
    let mut out = vec![];
    listen(&mut rig(), far, CARD, PERIOD, ms, |_, period| {
        out.extend_from_slice(period);
    });
    let mut delays = vec![];
    for start in (0..out.len() - 3200).step_by(3200) {
        // The pulse of second block 10 k was spoken 210 ms k after the start.
        let window = &out[start..start + 3200];
        let (at, peak) = (0..).zip(window).max_by_key(|(_, s)| **s).unwrap();
        if *peak > 5000 {
            let heard = (start as f64 + f64::from(at)) / 16.0;
            let spoken = (start / 3200) as f64 * 200.0 + 10.0;
            // The packet left when its block was complete, 10 ms after its middle.
            delays.push(heard - spoken - 20.0 - far.delay);
        }
    }
    delays
}

#[test]
fn clean_line_is_heard_within_50_ms() {
    for phase in 0..10 {
        let mut far = Far::new(pulses);
        far.delay = 7.05 + f64::from(phase);
        let delays = delays(&mut far, 3000.0);
        assert!(delays.len() > 10);
        for delay in delays {
            let heard = delay + CARD_BUFFER_MS;
            assert!(
                (20.0..50.0).contains(&heard),
                "phase {phase}: {heard:.1} ms"
            );
        }
    }
}

/// A tone whose frequency tells its time in the stream: 200 Hz and 4 Hz more
/// each second.
fn glide(n: u64) -> f32 {
    let seconds = n as f64 / 8000.0;
    let turns = 200.0 * seconds + 2.0 * seconds * seconds;
    8000.0 * ((turns * std::f64::consts::TAU) % std::f64::consts::TAU).sin() as f32
}

#[test]
fn drift_is_held_without_a_step() {
    // Ten times the sample rate error and a tenth of the time would be the same
    // 360 ms; the bench runs the full hour. Here, 36 ms in two minutes.
    for ppm in [-300.0, 300.0] {
        let mut far = Far::new(|n| 8000.0 * (n as f32 % 40.0 / 40.0 * std::f32::consts::TAU).sin());
        far.ppm = ppm;
        far.delay = 8.6;
        let mut rig = rig();
        let figures = Arc::clone(&rig.stats);
        let (mut delays, mut steps) = (vec![], 0);
        let mut last = [0f32; 2];
        let turn = 2.0 * (std::f32::consts::TAU * 200.0 / 16e3).cos();
        listen(&mut rig, &mut far, CARD, PERIOD, 120e3, |now, period| {
            if now > 5000.0 && now % 1000.0 == 0.0 {
                delays.push(figures.snapshot().delay_ms);
            }
            for &sample in period {
                // A sine obeys this; a click does not. 300 is -28 dB of the tone.
                let sample = f32::from(sample);
                let error = (last[0] + sample - turn * last[1]).abs();
                steps += usize::from(now > 1000.0 && error > 300.0);
                last = [last[1], sample];
            }
        });
        let stats = figures.snapshot();
        let moved = delays[delays.len() - 1] - delays[0];
        assert!(moved.abs() < 20.0, "{ppm} ppm: delay moved by {moved} ms");
        assert_eq!((stats.skipped_ms, stats.concealed_ms), (0, 0), "{ppm} ppm");
        assert_eq!(steps, 0, "{ppm} ppm: steps in the sound");
        // Two minutes are not enough to know it well.
        let known = f64::from(stats.drift_ppm) / ppm;
        assert!(
            (0.5..1.5).contains(&known),
            "{ppm} ppm taken for {}",
            stats.drift_ppm
        );
    }
}

/// When the sound heard at each moment was spoken, by the pitch of [`glide`]:
/// pairs of ms, one for each 50 ms with sound.
fn told_by_pitch(heard: &[i16]) -> Vec<(f64, f64)> {
    let (windows, _) = heard.as_chunks::<800>();
    windows
        .iter()
        .enumerate()
        .filter_map(|(n, window)| {
            let crossing = |pair: &[i16]| pair[0] < 0 && pair[1] >= 0;
            let at = (0..799).filter(|&i| crossing(&window[i..i + 2])).map(|i| {
                let (low, high) = (f64::from(window[i]), f64::from(window[i + 1]));
                i as f64 - low / (high - low)
            });
            let crossings: Vec<f64> = at.collect();
            let (first, last) = (crossings.first()?, crossings.last()?);
            let turn = (last - first) / (crossings.len() - 1) as f64;
            let frequency = 16_000.0 / turn;
            // A window with a seam, a fade or something made up says nothing.
            let even = crossings
                .windows(2)
                .all(|pair| ((pair[1] - pair[0]) / turn - 1.0).abs() < 0.01);
            let loud = window.iter().filter(|s| s.abs() > 4000).count() > 400;
            let middle = (n as f64 * 800.0 + (first + last) / 2.0) / 16.0;
            (loud && even).then_some((middle, (frequency - 200.0) / 4.0 * 1000.0))
        })
        .collect()
}

#[test]
fn a_second_of_stall_is_made_up_within_two_and_nothing_is_replayed() {
    let mut far = Far::new(glide);
    (far.jitter, far.stalls) = (2.0, vec![(20_000.0, 1000.0), (30_000.0, 1000.0)]);
    let mut rig = rig();
    let figures = Arc::clone(&rig.stats);
    let (mut heard, mut delays) = (vec![], vec![]);
    listen(&mut rig, &mut far, CARD, PERIOD, 40e3, |now, period| {
        heard.extend_from_slice(period);
        if now % 100.0 == 0.0 {
            delays.push((now, figures.snapshot().delay_ms));
        }
    });
    let mean = |from: f64, to: f64| {
        let within = delays.iter().filter(|(now, _)| (from..to).contains(now));
        let (count, sum) = within.fold((0.0, 0.0), |(n, sum), (_, d)| (n + 1.0, sum + d));
        sum / count
    };
    for stall in [20e3, 30e3] {
        let before = mean(stall - 5000.0, stall);
        let after = mean(stall + 2000.0, stall + 7000.0);
        assert!(
            (after - before).abs() < 8.0,
            "{before} before, {after} after"
        );
    }
    let mut newest = 0.0;
    for (now, spoken) in told_by_pitch(&heard) {
        assert!(spoken > newest - 150.0, "at {now}: {spoken} after {newest}");
        newest = spoken.max(newest);
        // The pitch says it to 100 ms or so.
        let stalled = [20e3, 30e3].iter().any(|s| (*s..s + 1200.0).contains(&now));
        assert!(
            stalled || now - spoken < 200.0,
            "at {now}: spoken at {spoken}"
        );
    }
    let stats = figures.snapshot();
    assert!((1800..2200).contains(&stats.skipped_ms), "{stats:?}");
    assert!((1800..2200).contains(&stats.concealed_ms), "{stats:?}");
}

#[test]
fn after_a_stall_of_any_length_playout_is_soon_back_at_its_target() {
    const END: f64 = 20e3;
    // A line may deliver the backlog over some time; at 0 all comes at once.
    let bursts = [0.0, 15.0, 60.0];
    let lengths = [300.0, 1000.0, 1100.0, 1300.0, 2000.0, 3000.0, 10e3];
    for (length, burst) in lengths.iter().flat_map(|l| bursts.map(|b| (*l, b))) {
        let name = format!("stall of {length} ms, burst of {burst} ms");
        let mut far = Far::new(glide);
        (far.jitter, far.stalls) = (2.0, vec![(END - length, length)]);
        far.burst = burst;
        let mut rig = rig();
        let figures = Arc::clone(&rig.stats);
        let (mut heard, mut before) = (vec![], figures.snapshot());
        let (mut delays, mut highest) = (vec![], 0f32);
        listen(
            &mut rig,
            &mut far,
            CARD,
            PERIOD,
            END + 8e3,
            |now, period| {
                heard.extend_from_slice(period);
                let present = figures.snapshot();
                delays.push(present.delay_ms);
                if now < END - length {
                    before = present;
                } else {
                    highest = highest.max(present.target_ms);
                }
            },
        );
        // Jitter makes a single delay say little: the mean of 200 ms, at its end.
        let mean = |n: usize, of: usize| delays[n - of..n].iter().sum::<f32>() / of as f32;
        let usual = mean((END - length) as usize / 10, 500);
        let off = |n: &usize| (mean(*n, 20) - usual).abs() > 20.0;
        let end = END as usize / 10;
        let back = (end + 20..delays.len()).rev().find(off);
        let took = back.map_or(0, |back| (back - end) * 10);
        let stats = figures.snapshot();
        assert!(took < 300, "{name}: back after {took} ms");
        assert!(
            highest <= before.target_ms + 25.0,
            "{name}: {highest}, {before:?}"
        );
        assert_eq!(stats.restarts, 0, "{name}");
        let after = mean(end + 700, 500);
        eprintln!(
            "{name}: {took} ms, then {after:.1} ms after {usual:.1}, target at most {highest:.0}"
        );
        assert!(
            (after - usual).abs() < 10.0,
            "{name}: {after} after {usual}"
        );
        let told = told_by_pitch(&heard);
        let mut newest = 0.0;
        for (now, spoken) in &told {
            // The pitch says it to 100 ms or so.
            assert!(*spoken > newest - 150.0, "{name}: {spoken} at {now}");
            newest = spoken.max(newest);
            let due = *now < END || now - spoken < 200.0;
            assert!(due, "{name}: {spoken} at {now}");
        }
        let after = told.iter().find(|(now, _)| *now > END).unwrap().0;
        assert!(after < END + burst + 300.0, "{name}: heard at {after}");
    }
}

#[test]
fn a_stall_longer_than_the_downlink_holds_is_not_replayed_either() {
    let mut far = Far::new(glide);
    far.stalls = vec![(10_000.0, 3000.0)];
    let mut heard = vec![];
    listen(&mut rig(), &mut far, CARD, PERIOD, 16e3, |_, period| {
        heard.extend_from_slice(period);
    });
    let told = told_by_pitch(&heard);
    let after: Vec<_> = told.iter().filter(|(now, _)| *now > 13e3).collect();
    assert!(after.len() > 50 && after[0].0 < 13_300.0, "{after:?}");
    for (now, spoken) in after {
        assert!(now - spoken < 200.0, "at {now}: spoken at {spoken}");
    }
}

#[test]
fn jitter_is_waited_for_and_calm_wins_the_delay_back() {
    for seed in 1..=2 {
        let mut far = Far::new(glide);
        far.dice = far::Dice(seed);
        let mut rig = rig();
        let figures = Arc::clone(&rig.stats);
        let mut run = |far: &mut Far, ms| {
            let before = figures.snapshot();
            listen(&mut rig, far, CARD, PERIOD, ms, |_, _| {});
            figures.snapshot().since(&before)
        };
        let calm = run(&mut far, 10e3);
        assert_eq!((calm.concealed_ms, calm.skipped_ms), (0, 0), "seed {seed}");
        far.jitter = 15.0;
        run(&mut far, 20e3);
        let rough = run(&mut far, 20e3);
        assert!(rough.concealed_ms < 600, "seed {seed}: {rough:?}");
        assert!(
            rough.delay_ms > calm.delay_ms + 15.0,
            "seed {seed}: {rough:?}"
        );
        assert!(rough.delay_ms < 150.0, "seed {seed}: {rough:?}");
        far.jitter = 0.0;
        run(&mut far, 40e3);
        let later = run(&mut far, 5e3);
        assert!(
            later.delay_ms < calm.delay_ms + 10.0,
            "seed {seed}: {later:?}"
        );
        assert_eq!(later.concealed_ms, 0, "seed {seed}");
    }
}

#[test]
fn nothing_of_one_stream_is_heard_in_the_next() {
    use callbox::audio::engine::Command;
    let mut rig = rig();
    let mut far = Far::new(voice);
    listen(&mut rig, &mut far, CARD, PERIOD, 1000.0, |_, _| {});
    for seq in 0..10 {
        _ = rig.downlink.push(far::packet(100 + seq, voice));
    }
    rig.commands.push(Command::Disconnect);
    rig.commands.push(audio_line::connect(2));
    let mut out = [0; PERIOD];
    // The last of the old stream fades out.
    rig.engine.render(&mut out);
    rig.engine.render(&mut out);
    for n in 0..20 {
        rig.engine.render(&mut out);
        assert!(out.iter().all(|s| s.abs() < 2), "period {n}: {out:?}");
    }
    assert_eq!(rig.stats.snapshot().other_stream, 10);
}

#[test]
fn numbers_that_wrap_are_no_new_sender() {
    let stats = Arc::new(Stats::default());
    let mut playout = Playout::new(&Config::default(), Arc::clone(&stats));
    let mut decoder = Decoder::new();
    playout.start();
    for n in 0..100 {
        let seq = (u32::MAX - 50).wrapping_add(n);
        put(&mut playout, seq, voice);
        take(&mut playout, &mut decoder, &stats);
    }
    let stats = stats.snapshot();
    assert_eq!((stats.restarts, stats.concealed_ms, stats.late), (0, 0, 0));
}

#[test]
fn a_backlog_that_trickles_in_is_not_taken_for_jitter() {
    let mut wrong = vec![];
    for (speed, stall) in [1.1, 1.2, 1.5, 2.0, 2.4, 3.0, 5.0]
        .into_iter()
        .flat_map(|speed| [300, 1000, 3000].map(|stall| (speed, stall)))
    {
        let name = format!("stall of {stall} ms, backlog at {speed} times real time");
        let stats = Arc::new(Stats::default());
        let mut playout = Playout::new(&Config::default(), Arc::clone(&stats));
        let mut decoder = Decoder::new();
        playout.start();
        let (mut seq, mut allowed, mut highest, mut caught_up) = (0, 0.0, 0f32, 0);
        // In steps of 10 ms: 5 s of calm, the stall, the backlog, and 5 s more.
        for now in (0..).step_by(10) {
            if caught_up == 500 {
                break;
            }
            let stalled = (5000..5000 + stall).contains(&now);
            let sent = now / 20 + 1;
            allowed = match now {
                0..5000 => f64::from(sent),
                _ if stalled => allowed,
                _ => f64::from(sent).min(allowed + speed / 2.0),
            };
            while f64::from(seq + 1) <= allowed {
                put(&mut playout, seq as u32, hum);
                seq += 1;
            }
            let mut bus = [0.0; BUS_CHUNK];
            playout.render(BUS_CHUNK, &mut bus, &mut decoder);
            if now > 5000 + stall && seq == sent {
                caught_up += 1;
                highest = highest.max(stats.snapshot().target_ms);
            }
        }
        if highest > 40.0 {
            wrong.push(format!("{name}: target {highest} ms"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
