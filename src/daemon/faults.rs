//! What is wrong with the sound of a call that is up, seen within 3 s of it.
//!
//! That nothing comes in is the call's own business (`call::Phase::OneWay`);
//! here is what the card and the engine say, once a second, while a stream
//! takes the visitor's sound.

use crate::audio::Snapshot;
use crate::panel::Trouble;

/// Seconds without the visitor's sound after which it is a fault: a card that
/// is opened anew is back sooner.
const UNHEARD_AFTER: u32 = 3;
/// Quarters of a second: one loud word is no fault.
const CLIPPED_AFTER: u64 = 2;

/// What is wrong, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The microphone's card is not there.
    NoMicrophone,
    /// Nothing goes out on the socket.
    NothingSent,
    /// The microphone gives zeros.
    Silent,
    /// The microphone gives one value.
    Stuck,
    /// The microphone does not hear the speaker.
    Unheard,
    /// The microphone is at full scale too often.
    Clipped,
}

impl Fault {
    /// For the log and the record.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::NoMicrophone => "the microphone is away",
            Self::NothingSent => "nothing goes out",
            Self::Silent => "the microphone gives nothing but zeros",
            Self::Stuck => "the microphone gives nothing but one value",
            Self::Unheard => "the microphone does not hear the speaker",
            Self::Clipped => "the microphone is too loud",
        }
    }

    /// Whether the callee hears nothing, or the visitor.
    pub(super) fn is_one_way(self) -> bool {
        self != Self::Clipped
    }

    /// For the lamp.
    pub(super) fn trouble(self) -> Trouble {
        match self {
            Self::NothingSent => Trouble::Other,
            _ => Trouble::Sound,
        }
    }
}

/// Looks at a call's sound once a second.
#[derive(Debug)]
pub(super) struct Watch {
    before: Counts,
    unheard_s: u32,
    fault: Option<Fault>,
}

/// What [`Snapshot`] has counted.
#[derive(Debug, Clone, Copy)]
struct Counts {
    silent: u64,
    stuck: u64,
    clipped: u64,
    unheard: u64,
}

impl From<&Snapshot> for Counts {
    fn from(sound: &Snapshot) -> Self {
        Self {
            silent: sound.mic_silent,
            stuck: sound.mic_stuck,
            clipped: sound.mic_clipped,
            unheard: sound.speaker_unheard,
        }
    }
}

impl Watch {
    /// From now on; what was before is another call's.
    pub(super) fn new(sound: &Snapshot) -> Self {
        Self {
            before: sound.into(),
            unheard_s: 0,
            fault: None,
        }
    }

    /// Another second: whether anything was sent, whether there is a microphone.
    /// What is wrong, when that is news; nothing, when all is well again.
    pub(super) fn look(
        &mut self,
        sound: &Snapshot,
        sent: bool,
        microphone: bool,
    ) -> Option<Option<Fault>> {
        let now = Counts::from(sound);
        let before = std::mem::replace(&mut self.before, now);
        let unheard = !sent || !microphone;
        self.unheard_s = if unheard { self.unheard_s + 1 } else { 0 };
        let lasts = self.unheard_s >= UNHEARD_AFTER;
        let found = [
            (lasts && !microphone, Fault::NoMicrophone),
            (lasts, Fault::NothingSent),
            (now.silent > before.silent, Fault::Silent),
            (now.stuck > before.stuck, Fault::Stuck),
            (now.unheard > before.unheard, Fault::Unheard),
            (
                now.clipped >= before.clipped + CLIPPED_AFTER,
                Fault::Clipped,
            ),
        ];
        let fault = found
            .into_iter()
            .find(|(is, _)| *is)
            .map(|(_, fault)| fault);
        (std::mem::replace(&mut self.fault, fault) != fault).then_some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::Stats;

    #[test]
    fn a_fault_is_news_when_it_comes_and_when_it_goes() {
        let mut sound = Stats::default().snapshot();
        let mut watch = Watch::new(&sound);
        assert_eq!(watch.look(&sound, true, true), None);
        sound.mic_silent += 1;
        assert_eq!(watch.look(&sound, true, true), Some(Some(Fault::Silent)));
        sound.mic_silent += 4;
        assert_eq!(watch.look(&sound, true, true), None);
        assert_eq!(watch.look(&sound, true, true), Some(None));
    }

    #[test]
    fn each_is_told_from_the_others_and_the_worst_counts() {
        type Turn = fn(&mut Snapshot);
        let cases: [(Turn, Fault); 5] = [
            (|s| s.mic_stuck += 4, Fault::Stuck),
            (|s| s.mic_clipped += 2, Fault::Clipped),
            (|s| s.speaker_unheard += 4, Fault::Unheard),
            (
                |s| {
                    s.speaker_unheard += 4;
                    s.mic_clipped += 4;
                },
                Fault::Unheard,
            ),
            (
                |s| {
                    s.speaker_unheard += 4;
                    s.mic_silent += 4;
                },
                Fault::Silent,
            ),
        ];
        for (turn, fault) in cases {
            let mut sound = Stats::default().snapshot();
            let mut watch = Watch::new(&sound);
            turn(&mut sound);
            assert_eq!(watch.look(&sound, true, true), Some(Some(fault)));
        }
        let mut sound = Stats::default().snapshot();
        let mut watch = Watch::new(&sound);
        sound.mic_clipped += 1;
        assert_eq!(watch.look(&sound, true, true), None, "one loud word");
    }

    #[test]
    fn a_card_that_is_opened_anew_is_no_fault_for_3_s() {
        let sound = Stats::default().snapshot();
        for (microphone, fault) in [(true, Fault::NothingSent), (false, Fault::NoMicrophone)] {
            let mut watch = Watch::new(&sound);
            assert_eq!(watch.look(&sound, false, microphone), None);
            assert_eq!(watch.look(&sound, false, microphone), None);
            assert_eq!(watch.look(&sound, false, microphone), Some(Some(fault)));
        }
    }
}
