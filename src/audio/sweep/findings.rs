//! What is wrong with a microphone, a speaker, and the way between them.
//!
//! Each finding says what is wrong; what to change is for whoever knows the
//! card's name: [`Cure`] is the kind of it.

use std::fmt;

use super::Measured;

/// Samples at full scale, for each thousand, that a passing spike may make.
const CLIPPED: f32 = 1.0;
/// From here on nothing else is to be told of it.
const ALL_CLIPPED: f32 = 500.0;
/// Loud speech on the line is 12 dB above the sweep: with less loss than this
/// it comes back at full scale, and cannot be taken out any more.
const LOUD_DB: f32 = 0.0;
/// With more, even a handset's ear is louder.
const SOFT_DB: f32 = 60.0;
/// A tenth of it is something else: words are still understood, but sound
/// hoarse, and what is made of them is no echo that can be learnt.
const DISTORTED: f32 = 0.1;
/// A voice at arm's length is some 20 dB above.
const NOISY_DBFS: f32 = -40.0;
/// The engine takes an offset out, but not what it costs in range.
const OFFSET: f32 = 0.03;
/// The canceller learns a way of 320 ms, of which a room wants the most part.
const LATE_MS: f32 = 250.0;

/// What is wrong, the worst first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// The microphone gives zeros.
    Silent,
    /// The microphone gives one value.
    Stuck(i16),
    /// The microphone is at full scale.
    Clipped {
        /// Samples, for each thousand.
        share: f32,
    },
    /// The sweep was not heard.
    Unheard,
    /// The place, or the microphone itself, is too loud.
    Noisy {
        /// How loud.
        dbfs: f32,
    },
    /// Something else than what was played comes back.
    Distorted {
        /// Which part of it.
        share: f32,
    },
    /// It comes back too loud.
    Loud {
        /// How much softer than it was played.
        loss_db: f32,
    },
    /// It hardly comes back.
    Soft {
        /// How much softer than it was played.
        loss_db: f32,
    },
    /// It comes back too late.
    Late {
        /// After how long.
        ms: f32,
    },
    /// The microphone's silence is not at 0.
    Offset {
        /// Where it is, in parts of full scale.
        share: f32,
    },
}

/// What is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// The microphone is off, unplugged or the wrong one.
    FindMicrophone,
    /// One of the two is off, unplugged or the wrong one.
    FindBoth,
    /// The microphone's level is to be lowered.
    LowerMicrophone,
    /// The speaker's level is to be lowered.
    LowerSpeaker,
    /// The speaker's level is to be raised, or the microphone's.
    Raise,
    /// The noise is to be found.
    FindNoise,
    /// What delays the sound is to be left out.
    Shorten,
    /// Another card is needed.
    Replace,
}

impl Finding {
    /// A word for files and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Stuck(_) => "stuck",
            Self::Clipped { .. } => "clipped",
            Self::Unheard => "unheard",
            Self::Noisy { .. } => "noisy",
            Self::Distorted { .. } => "distorted",
            Self::Loud { .. } => "loud",
            Self::Soft { .. } => "soft",
            Self::Late { .. } => "late",
            Self::Offset { .. } => "offset",
        }
    }

    /// Whether somebody would not hear, or not be heard: the rest sounds worse
    /// than it could.
    #[must_use]
    pub fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Silent | Self::Stuck(_) | Self::Clipped { .. } | Self::Unheard
        )
    }

    /// What helps.
    #[must_use]
    pub fn cure(self) -> Cure {
        match self {
            Self::Silent | Self::Stuck(_) => Cure::FindMicrophone,
            Self::Clipped { .. } => Cure::LowerMicrophone,
            Self::Unheard => Cure::FindBoth,
            Self::Noisy { .. } => Cure::FindNoise,
            Self::Distorted { .. } | Self::Loud { .. } => Cure::LowerSpeaker,
            Self::Soft { .. } => Cure::Raise,
            Self::Late { .. } => Cure::Shorten,
            Self::Offset { .. } => Cure::Replace,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("the microphone gives nothing but zeros"),
            Self::Stuck(value) => write!(f, "the microphone gives nothing but {value}"),
            Self::Clipped { share } if *share > ALL_CLIPPED => f.write_str(
                "the microphone is at full scale nearly all the time: it is broken or far too loud",
            ),
            Self::Clipped { share } => write!(
                f,
                "the microphone clips: {:.1} % of its samples are at full scale",
                share / 10.0
            ),
            Self::Unheard => f.write_str("the microphone does not hear the speaker"),
            Self::Noisy { dbfs } => {
                write!(f, "the microphone is noisy: {dbfs:.0} dBFS in silence")
            }
            Self::Distorted { share } => write!(
                f,
                "the speaker distorts: {:.0} % of what comes back was not played",
                share * 100.0
            ),
            Self::Loud { loss_db } => write!(
                f,
                "the speaker is too loud at the microphone: it comes back with a loss of {loss_db:.0} dB"
            ),
            Self::Soft { loss_db } => write!(
                f,
                "the microphone hardly hears the speaker: it comes back with a loss of {loss_db:.0} dB"
            ),
            Self::Late { ms } => write!(f, "the sound comes back after {ms:.0} ms, which is late"),
            Self::Offset { share } => write!(
                f,
                "the microphone's silence is {:.0} % of full scale away from 0",
                share * 100.0
            ),
        }
    }
}

/// What is wrong; nothing, when all is well.
#[must_use]
pub fn judge(measured: &Measured) -> Vec<Finding> {
    match measured.only {
        Some(0) => return vec![Finding::Silent],
        Some(value) => return vec![Finding::Stuck(value)],
        None => {}
    }
    let share = measured.clipped;
    if share > ALL_CLIPPED {
        return vec![Finding::Clipped { share }];
    }
    let mut found = Vec::new();
    let mut add = |is: bool, finding| {
        if is {
            found.push(finding);
        }
    };
    add(share > CLIPPED, Finding::Clipped { share });
    add(measured.way.is_none(), Finding::Unheard);
    let dbfs = measured.noise_dbfs;
    add(dbfs > NOISY_DBFS, Finding::Noisy { dbfs });
    if let Some(way) = &measured.way {
        let loss_db = way.loss_db;
        if let Some(share) = way.distortion {
            add(share > DISTORTED, Finding::Distorted { share });
        }
        add(loss_db < LOUD_DB, Finding::Loud { loss_db });
        add(loss_db > SOFT_DB, Finding::Soft { loss_db });
        let ms = way.delay_ms;
        add(ms > LATE_MS, Finding::Late { ms });
    }
    let share = measured.offset;
    add(share.abs() > OFFSET, Finding::Offset { share });
    found
}
