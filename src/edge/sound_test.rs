//! What the latest test of the sound found, and what to change about it: kept
//! beside the records, written by `callbox audio test` and by the daemon.
//!
//! ```text
//!  Measured, Finding … ─▶ Report ─save─▶ sound-test.json ─load─▶ status, doctor
//! ```
//!
//! Always true: the file is the old report or the new one, whole; one that is
//! damaged counts as none.
//!
//! Any thread but the audio thread: it waits for the disk.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::clock::Stamp;
use super::volume;
use crate::audio::sweep::findings::Cure;
use crate::audio::sweep::{Finding, Measured, judge};
use crate::units::tenths;

/// The name of the file, in the folder of the records.
pub const FILE: &str = "sound-test.json";
/// Its bytes at most.
const BYTES_MAX: u64 = 16 * 1024;

/// What a test found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When, as the system's clock had it.
    pub at: String,
    /// Whether nothing is wrong.
    pub passed: bool,
    /// Whether somebody at the device would not hear, or not be heard.
    pub fault: bool,
    /// From a sample that is handed to the card to its return.
    pub delay_ms: Option<f64>,
    /// How much softer it comes back than it was played.
    pub echo_loss_db: Option<f64>,
    /// Harmonics of the speaker.
    pub distortion_percent: Option<f64>,
    /// Whether it comes back upside down.
    pub inverted: Option<bool>,
    /// The place, and the microphone's own noise.
    pub noise_dbfs: f64,
    /// The loudest that was heard.
    pub peak_dbfs: f64,
    /// How loud it was.
    pub rms_dbfs: f64,
    /// Samples at full scale.
    pub clipped_percent: f64,
    /// Where the microphone's silence is, in percent of full scale.
    pub offset_percent: f64,
    /// What is wrong, the worst first.
    pub findings: Vec<Found>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// A word for it.
    pub name: String,
    /// In a sentence.
    pub what: String,
    /// What to change.
    pub fix: String,
}

/// The cards that were tested, as far as advice names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cards {
    /// The id of the microphone's, if it has one.
    pub microphone: Option<String>,
    /// The id of the speaker's.
    pub speaker: Option<String>,
    /// Whether callbox sets their mixers itself.
    pub set_mixer: bool,
}

impl Report {
    /// What was measured at `at`, on these cards.
    #[must_use]
    pub fn new(at: Stamp, measured: &Measured, cards: &Cards) -> Self {
        let findings = judge(measured);
        let way = measured.way.as_ref();
        let found = |finding: &Finding| Found {
            name: finding.name().to_owned(),
            what: finding.to_string(),
            fix: cards.advice(finding.cure()),
        };
        Self {
            at: at.to_string(),
            passed: findings.is_empty(),
            fault: findings.iter().any(|finding| finding.is_fault()),
            delay_ms: way.map(|way| tenths(way.delay_ms)),
            echo_loss_db: way.map(|way| tenths(way.loss_db)),
            distortion_percent: way
                .and_then(|way| way.distortion)
                .map(|d| tenths(d * 100.0)),
            inverted: way.map(|way| way.inverted),
            noise_dbfs: tenths(measured.noise_dbfs),
            peak_dbfs: tenths(measured.peak_dbfs),
            rms_dbfs: tenths(measured.rms_dbfs),
            clipped_percent: tenths(measured.clipped / 10.0),
            offset_percent: tenths(measured.offset * 100.0),
            findings: findings.iter().map(found).collect(),
        }
    }

    /// The report that is kept at `path`, if there is one.
    #[must_use]
    pub fn load(path: &Path) -> Option<Self> {
        let bytes = volume::read(path, BYTES_MAX).ok()?;
        Self::parse(&bytes)
    }

    /// Reads what [`save`](Self::save) wrote.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Keeps it at `path`.
    ///
    /// # Errors
    /// What the system said; the old one is as it was.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        volume::replace(path, &bytes, 0o644)
    }

    /// In a line: `passed`, or what is wrong.
    #[must_use]
    pub fn verdict(&self) -> String {
        if self.passed {
            return "passed".to_owned();
        }
        let words: Vec<&str> = self.findings.iter().map(|f| f.what.as_str()).collect();
        words.join("; ")
    }
}

impl Cards {
    fn advice(&self, cure: Cure) -> String {
        let level = |way: &str, id: &Option<String>, key: &str, control: &str| {
            let card = id
                .as_ref()
                .map(|id| format!(" -c {id}"))
                .unwrap_or_default();
            let again = match self.set_mixer {
                true => "; with [board] mixer = \"leave\", or callbox sets it anew",
                false => "",
            };
            format!("{way}: `alsamixer{card}`, {key}, or `amixer{card} sset {control}`{again}")
        };
        let (mic, speaker) = (&self.microphone, &self.speaker);
        match cure {
            Cure::FindMicrophone => level(
                "see that it is plugged in, not muted and the one in [sound] microphone",
                mic,
                "F4",
                "Capture cap",
            ),
            Cure::FindBoth => {
                "see that both are plugged in and not muted, and [sound] names the right ones; \
                 `callbox audio meter` while you speak tells whether it is the microphone, and \
                 `callbox audio play` whether it is the speaker"
                    .to_owned()
            }
            Cure::LowerMicrophone => level("lower its capture volume", mic, "F4", "Mic 6dB-"),
            Cure::LowerSpeaker => level(
                "lower its volume, or move it away from the microphone",
                speaker,
                "F3",
                "Speaker 6dB-",
            ),
            Cure::Raise => level("raise the speaker's volume", speaker, "F3", "Speaker 6dB+"),
            Cure::FindNoise => level(
                "find what hums or hisses, a power supply mostly, and test again when it is \
                 quiet; or lower the capture volume",
                mic,
                "F4",
                "Mic 6dB-",
            ),
            Cure::Shorten => "leave out what delays it, such as Bluetooth or a sound server: name \
                              the card itself in [sound], as `callbox audio list` shows it"
                .to_owned(),
            Cure::Replace => "the engine takes it out, but some of the range is lost: try another \
                              microphone or card"
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::BUS_RATE;
    use crate::audio::sweep::{Heard, Sweep, measure};

    fn report(change: impl Fn(i16) -> i16, cards: &Cards) -> Report {
        let sweep = Sweep::new(BUS_RATE);
        let mut heard: Vec<i16> = (0..320).map(|n| n % 3).collect();
        heard.extend(sweep.samples().iter().map(|sample| change(*sample)));
        heard.resize(sweep.listen(), 0);
        Report::new(Stamp::built(), &measure(&sweep, &Heard::new(&heard)), cards)
    }

    #[test]
    fn a_report_is_kept_whole_and_a_damaged_one_is_none() {
        let folder = std::env::temp_dir().join(format!("callbox-report-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(FILE);
        assert_eq!(Report::load(&path), None);
        let report = report(|sample| sample / 8, &Cards::default());
        assert!(report.passed && !report.fault, "{report:?}");
        assert_eq!(report.delay_ms, Some(20.0));
        report.save(&path).unwrap();
        assert_eq!(Report::load(&path), Some(report));
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() - 2 {
            assert_eq!(Report::parse(&bytes[..length]), None, "{length}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_advice_names_the_card() {
        let cards = Cards {
            microphone: Some("Device".to_owned()),
            speaker: None,
            set_mixer: true,
        };
        let loud = |sample: i16| sample.saturating_mul(20);
        let found = report(loud, &cards).findings;
        assert_eq!(found[0].name, "clipped");
        assert_eq!(
            found[0].fix,
            "lower its capture volume: `alsamixer -c Device`, F4, or `amixer -c Device sset \
             Mic 6dB-`; with [board] mixer = \"leave\", or callbox sets it anew"
        );
        let dead = report(|_| 0, &Cards::default());
        assert!(dead.fault && !dead.passed);
        assert_eq!(dead.verdict(), "the microphone gives nothing but zeros");
    }
}
