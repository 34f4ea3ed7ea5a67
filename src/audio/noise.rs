//! The room behind the far end's voice: listens for it, and makes more of it.
//!
//! Where a line goes dry in the midst of a call, silence would sound like its
//! end. What is left when nobody speaks goes on instead, as loud and as dull or
//! shrill as it was:
//!
//! ```text
//!  pauses ─▶ energy and likeness to the last two samples ─▶ a filter of two poles
//!                                                                │
//!                                              white noise ──────┴─────▶ comfort
//! ```
//!
//! Pauses are what the caller takes for them; the last of a word is among that.
//! So the level sinks at once and rises slowly. A far end that sends zeros
//! when nobody speaks has no room, and a room louder than -40 dBFS is made as
//! loud as that.
//!
//! Units: bus samples, 16 kHz.
//!
//! Real time: bounded work, no allocation.

use super::BUS_BLOCK;

/// The loudest that is made, as the mean of squares: -40 dBFS.
const LOUDEST: f32 = 328.0 * 328.0;
/// How much louder a block can make it: 3 dB in half a second.
const RISE: f32 = 1.03;
/// How much a block says about the sound of the room.
const SHARE: f32 = 0.1;
/// A block so much louder than the room is not the room's: 3 dB.
const ROOM: f32 = 2.0;
/// Put on top of the energy, so that a hum makes no filter that rings for ever.
const DAMPING: f32 = 1.001;

/// See the [module page](self).
#[derive(Debug)]
pub struct Noise {
    /// Mean of squares; `None` before the first pause.
    level: Option<f32>,
    /// How much a sample resembles the last and the one before, at most 1.
    likeness: [f32; 2],
    /// The samples made last.
    last: [f32; 2],
    dice: u32,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            level: None,
            likeness: [0.0; 2],
            last: [0.0; 2],
            dice: 1,
        }
    }
}

impl Noise {
    /// Takes in a block in which nobody speaks.
    pub fn listen(&mut self, block: &[i16; BUS_BLOCK]) {
        let block = block.map(f32::from);
        let product = |lag: usize| -> f32 {
            let pairs = block.iter().zip(&block[lag..]);
            pairs.map(|(before, after)| before * after).sum()
        };
        let energy = product(0);
        let found = energy / BUS_BLOCK as f32;
        let level = *self.level.get_or_insert(found);
        if energy > 0.0 && found < level * ROOM {
            for (known, lag) in self.likeness.iter_mut().zip(1..) {
                *known += (product(lag) / energy - *known) * SHARE;
            }
        }
        self.level = Some(found.min((level * RISE).max(1.0)).min(LOUDEST));
    }

    /// Adds to `out` what the room sounds like, times what `share` says of each
    /// sample.
    pub fn add(&mut self, out: &mut [f32], share: impl Fn(usize) -> f32) {
        let level = self.level.unwrap_or(0.0);
        // The filter of two poles whose output is like that (Yule and Walker).
        let [one, two] = self.likeness;
        let rest = DAMPING * DAMPING - one * one;
        let (a, b) = (
            one * (DAMPING - two) / rest,
            (DAMPING * two - one * one) / rest,
        );
        let gain = (level * (DAMPING - a * one - b * two).max(0.0) * 3.0).sqrt();
        for (n, sample) in out.iter_mut().enumerate() {
            let next = a * self.last[0] + b * self.last[1] + gain * self.roll();
            self.last = [next, self.last[0]];
            *sample += next * share(n);
        }
    }

    /// From -1 to 1 (xorshift, Marsaglia 2003).
    fn roll(&mut self) -> f32 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 17;
        self.dice ^= self.dice << 5;
        self.dice as i32 as f32 / 2f32.powi(31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of noise through a filter of one pole.
    fn room(level: f32, pole: f32) -> Vec<i16> {
        let mut source = Noise::default();
        let gain = level * (3.0 * (1.0 - pole * pole)).sqrt();
        let mut last = 0.0;
        let mut next = || {
            last = pole * last + gain * source.roll();
            last as i16
        };
        (0..16_000).map(|_| next()).collect()
    }

    fn learnt(sound: &[i16]) -> Noise {
        let mut noise = Noise::default();
        let (blocks, _) = sound.as_chunks::<BUS_BLOCK>();
        blocks.iter().for_each(|block| noise.listen(block));
        noise
    }

    /// The rms of a second of it, and how much a sample is like the last.
    fn measure(noise: &mut Noise) -> (f32, f32) {
        let mut made = vec![0.0; 16_000];
        made.chunks_mut(37)
            .for_each(|piece| noise.add(piece, |_| 1.0));
        let energy: f32 = made.iter().map(|s| s * s).sum();
        let product: f32 = made.windows(2).map(|pair| pair[0] * pair[1]).sum();
        ((energy / 16_000.0).sqrt(), product / energy)
    }

    #[test]
    fn the_room_goes_on_as_loud_and_as_dull() {
        for (level, pole) in [(20.0, 0.0), (50.0, 0.6), (100.0, 0.9), (200.0, -0.5)] {
            let (made, like) = measure(&mut learnt(&room(level, pole)));
            let db = 20.0 * (made / level).log10();
            assert!(db.abs() < 1.5, "{level}, {pole}: {db} dB");
            assert!((like - pole).abs() < 0.1, "{level}, {pole}: {like}");
        }
    }

    #[test]
    fn the_last_of_a_word_is_not_the_room() {
        let mut noise = learnt(&room(30.0, 0.5));
        noise.listen(&[900; BUS_BLOCK]);
        let (made, like) = measure(&mut noise);
        assert!((25.0..36.0).contains(&made), "{made}");
        assert!((like - 0.5).abs() < 0.1, "{like}");
    }

    #[test]
    fn no_room_is_silence_and_a_hum_does_not_run_away() {
        assert_eq!(measure(&mut Noise::default()).0, 0.0);
        assert_eq!(measure(&mut learnt(&[0; 16_000])).0, 0.0);
        let hum = |n| (200.0 * (n as f32 * 0.0196).sin()) as i16;
        let hum: Vec<i16> = (0..16_000).map(hum).collect();
        let (made, _) = measure(&mut learnt(&hum));
        assert!((50.0..300.0).contains(&made), "{made}");
    }

    #[test]
    fn a_loud_room_is_not_made_louder_than_40_db_below_full_scale() {
        let (made, _) = measure(&mut learnt(&room(3000.0, 0.5)));
        assert!(made < 360.0, "{made}");
    }
}
