//! What the callee says, packet by packet.
//!
//! One `packet` each 20 ms from `begin` on, with what the callee has heard so
//! far for those who repeat it. There is no clock: the caller says what time
//! it is.
//!
//! Units: words are 8000 samples a second and are spoken at `rate`.
//!
//! Always true: packets lie on a grid from the beginning, and only the first
//! `begin` counts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::codec::PACKETS;
use super::config::Says;
use super::resample;

/// From one packet to the next.
const PACKET: Duration = Duration::from_millis(1000 / PACKETS as u64);
/// Samples a second of the words.
const WORDS_RATE: u32 = 8000;

/// See the module page.
#[derive(Debug)]
pub(super) struct Mouth {
    says: Says,
    rate: u32,
    /// When the device could first hear them; packets lie on a grid from here.
    began: Option<Instant>,
    packets: u32,
    /// Where in what was heard the next packet of an echo begins.
    echoed: Option<usize>,
}

impl Mouth {
    pub(super) fn new(says: &Says, rate: u32) -> Self {
        let at_rate = |words: &Arc<[i16]>| -> Arc<[i16]> {
            match rate / WORDS_RATE {
                1 => Arc::clone(words),
                factor => resample::up(words, factor as usize).into(),
            }
        };
        let says = match says {
            Says::Speech(words) => Says::Speech(at_rate(words)),
            Says::Forever(words) => Says::Forever(at_rate(words)),
            Says::SpeechThenNoMedia(words) => Says::SpeechThenNoMedia(at_rate(words)),
            Says::Echo => Says::Echo,
            Says::Silence => Says::Silence,
        };
        Self {
            says,
            rate,
            began: None,
            packets: 0,
            echoed: None,
        }
    }

    /// There is somebody to talk to. Only the first time counts: words spoken
    /// while a socket is lost are lost.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    pub(super) fn began(&self) -> Option<Instant> {
        self.began
    }

    /// For how long there has been somebody to talk to.
    pub(super) fn since_began(&self, now: Instant) -> Duration {
        self.began.map_or(Duration::ZERO, |began| now - began)
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        Some(self.began? + PACKET * self.packets)
    }

    /// Where the next packet begins, in samples.
    pub(super) fn position(&self) -> u64 {
        u64::from(self.packets) * self.packet_samples() as u64
    }

    /// When the last word has been said; `None` when there is none.
    pub(super) fn over_at(&self) -> Option<Instant> {
        let samples = match &self.says {
            Says::Speech(words) | Says::SpeechThenNoMedia(words) => words.len(),
            Says::Forever(_) => return None,
            Says::Echo | Says::Silence => 0,
        };
        let lasts = Duration::from_secs(samples as u64) / self.rate;
        Some(self.began? + lasts)
    }

    /// The next 20 ms; `None` when nothing at all is sent.
    pub(super) fn packet(&mut self, heard: &[i16]) -> Option<Vec<i16>> {
        let length = self.packet_samples();
        let at = self.packets as usize * length;
        self.packets += 1;
        let said = match &self.says {
            Says::Speech(words) => words.get(at..).unwrap_or_default(),
            Says::Forever(words) => {
                let from = at % words.len().max(1);
                let mut round = words.iter().copied().cycle().skip(from);
                return Some((0..length).map(|_| round.next().unwrap_or(0)).collect());
            }
            Says::SpeechThenNoMedia(words) => words.get(at..).filter(|rest| !rest.is_empty())?,
            Says::Echo => {
                // From the first whole packet heard on, one for each sent.
                let from = self.echoed.or(heard.len().checked_sub(length));
                self.echoed = from.map(|from| from + length);
                from.map_or(&[][..], |from| heard.get(from..).unwrap_or_default())
            }
            Says::Silence => &[],
        };
        let mut packet = vec![0; length];
        let said = &said[..said.len().min(length)];
        packet[..said.len()].copy_from_slice(said);
        Some(packet)
    }

    fn packet_samples(&self) -> usize {
        (self.rate / PACKETS) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_into_packets_and_filled_up() {
        let mut mouth = Mouth::new(&Says::Speech(vec![5; 200].into()), 8000);
        assert_eq!(mouth.packet(&[]), Some(vec![5; 160]));
        let last = mouth.packet(&[]).unwrap();
        assert_eq!((last[39], last[40]), (5, 0));
        assert_eq!(mouth.packet(&[]), Some(vec![0; 160]));
    }

    #[test]
    fn one_way_sound_ends_with_the_words() {
        let mut mouth = Mouth::new(&Says::SpeechThenNoMedia(vec![5; 160].into()), 8000);
        assert_eq!(mouth.packet(&[]), Some(vec![5; 160]));
        assert_eq!(mouth.packet(&[]), None);
    }

    #[test]
    fn an_echo_repeats_each_sample_once() {
        let heard: Vec<i16> = (0..480).collect();
        let mut mouth = Mouth::new(&Says::Echo, 8000);
        assert_eq!(mouth.packet(&heard[..100]), Some(vec![0; 160]));
        assert_eq!(mouth.packet(&heard[..260]).unwrap()[..], heard[100..260]);
        assert_eq!(mouth.packet(&heard[..420]).unwrap()[..], heard[260..420]);
    }

    #[test]
    fn packets_lie_on_a_grid() {
        let began = Instant::now();
        let mut mouth = Mouth::new(&Says::Silence, 8000);
        assert_eq!(mouth.next_at(), None);
        mouth.begin(began);
        mouth.begin(began + Duration::from_secs(5));
        for _ in 0..50 {
            mouth.packet(&[]);
        }
        assert_eq!(mouth.next_at(), Some(began + Duration::from_secs(1)));
    }

    #[test]
    fn words_without_an_end_begin_again() {
        let words: Vec<i16> = (0..400).collect();
        let mut mouth = Mouth::new(&Says::Forever(words.clone().into()), 8000);
        let said: Vec<i16> = (0..10).flat_map(|_| mouth.packet(&[]).unwrap()).collect();
        assert_eq!(said, words.repeat(4));
        mouth.begin(Instant::now());
        assert_eq!(mouth.over_at(), None);
        // Nothing to say, over and over.
        let mut mouth = Mouth::new(&Says::Forever([].into()), 8000);
        assert_eq!(mouth.packet(&[]), Some(vec![0; 160]));
    }

    #[test]
    fn words_take_as_long_at_every_rate() {
        let began = Instant::now();
        for rate in [8000, 16_000, 24_000, 48_000] {
            let mut mouth = Mouth::new(&Says::Speech(vec![1000; 4000].into()), rate);
            mouth.begin(began);
            assert_eq!(mouth.over_at(), Some(began + Duration::from_millis(500)));
            let packet = mouth.packet(&[]).unwrap();
            assert_eq!(packet.len(), rate as usize / 50);
            assert_eq!(mouth.position(), u64::from(rate) / 50);
        }
    }
}
