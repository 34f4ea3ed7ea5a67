//! What keeps the device from its work while nobody presses: shown on the lamp.
//!
//! ```text
//!  answers of the service ─▶ online, said ─┐
//!  the card's sides, its test ▶ present ───┼─▶ first() ─▶ Show::Trouble
//!  the tunnel ─────────────▶ cut off ──────┤
//!  RUN/fault, by `callbox card` ─▶ noted ──┘
//! ```
//!
//! Most of it the daemon sees itself, at once. What needs root or a tour of the
//! device, a refused Wi-Fi password or a way in that is shut, `callbox card`
//! writes as one word into a file, which is looked at once a second. Of the two
//! the daemon's own eyes are believed: a note may be minutes old.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Daemon, face_of, is_at_rest};
use crate::panel::{Show, Trouble};
use crate::wire::rest::{ApiError, ConnectFault, Next};

/// Seconds after which a card is missing: one that is being opened, or plugged
/// in anew, is not.
const MISSING_FOR: u32 = 5;
/// A note is one word.
const NOTE_MAX: u64 = 32;

/// The note of `callbox card`, read again when it changes.
#[derive(Debug, Default)]
pub(super) struct Note {
    path: Option<PathBuf>,
    written: Option<SystemTime>,
    says: Option<Trouble>,
}

impl Note {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }

    fn look(&mut self) -> Option<Trouble> {
        let path = self.path.as_deref()?;
        let written = fs::metadata(path).and_then(|file| file.modified()).ok();
        if written != self.written || written.is_none() {
            self.written = written;
            self.says = written.and_then(|_| read(path));
        }
        self.says
    }
}

fn read(path: &Path) -> Option<Trouble> {
    let mut word = String::new();
    let file = fs::File::open(path).ok()?;
    file.take(NOTE_MAX).read_to_string(&mut word).ok()?;
    Trouble::parse(word.trim())
}

/// What the daemon knows.
#[derive(Debug, Clone, Copy)]
struct Seen {
    noted: Option<Trouble>,
    online: Option<bool>,
    /// What the service's latest answer means, or that of somebody else.
    said: Option<Trouble>,
    /// The card is there, and was well when it was last tested.
    sound: bool,
    /// The tunnel cannot be kept up.
    cut_off: bool,
}

/// Of all there is, what is to be mended first.
fn first(seen: Seen) -> Option<Trouble> {
    let noted = seen.noted.filter(|noted| match noted {
        // Whoever is reached needs no network, and the cards are seen from here.
        Trouble::Wifi | Trouble::Network | Trouble::Blocked => seen.online != Some(true),
        Trouble::Key => seen.said == Some(Trouble::Key) || seen.online.is_none(),
        Trouble::Sound => !seen.sound,
        // Nor is it to be judged while nothing gets out.
        Trouble::WayIn => seen.online == Some(true),
        Trouble::Config | Trouble::Other => true,
    });
    let sound = (!seen.sound).then_some(Trouble::Sound);
    let way_in = seen.cut_off.then_some(Trouble::WayIn);
    [noted, seen.said, sound, way_in]
        .into_iter()
        .flatten()
        .min()
}

/// What an answer that was none means for whoever looks at the lamp; `None`
/// when the service itself is not reached, and nothing more is known.
#[must_use]
pub fn trouble_of(error: &ApiError) -> Option<Trouble> {
    match error {
        ApiError::Key(_) | ApiError::NotYours(_) | ApiError::NotActive(_) => Some(Trouble::Key),
        ApiError::NoSuchNumber { .. } => Some(Trouble::Key),
        ApiError::Unreachable(fault) => match fault {
            ConnectFault::Name => Some(Trouble::Network),
            ConnectFault::Certificate(_) | ConnectFault::NotTls => Some(Trouble::Blocked),
            ConnectFault::Refused | ConnectFault::TimedOut(_) | ConnectFault::Other(_) => None,
        },
        ApiError::Redirected { .. } | ApiError::NotJson(_) => Some(Trouble::Blocked),
        ApiError::NotTheService { .. } if error.next() == Next::CheckNetwork => {
            Some(Trouble::Blocked)
        }
        _ => None,
    }
}

impl Daemon {
    /// Once a second.
    pub(super) fn look_for_trouble(&mut self) {
        let sides = &self.sound.stats;
        let present = sides.microphone.present() && sides.speaker.present();
        self.missing_s = if present {
            0
        } else {
            self.missing_s.saturating_add(1)
        };
        let seen = Seen {
            noted: self.note.look(),
            online: self.online,
            said: self.said,
            sound: self.missing_s < MISSING_FOR && !self.self_test.is_fault(),
            cut_off: self.cut_off,
        };
        let trouble = first(seen);
        if std::mem::replace(&mut self.trouble, trouble) == trouble {
            return;
        }
        match trouble {
            Some(trouble) => {
                tracing::warn!(flashes = trouble.flashes(), "{}", trouble.means());
                self.event("trouble", trouble.means());
            }
            None => self.event("trouble", "over"),
        }
        if is_at_rest(self.shown) {
            let (show, _) = face_of(self.shown, self.shown);
            self.media.show(self.with_trouble(show));
        }
    }

    /// What the lamp shows in place of a dark one, or of one that says less.
    pub(super) fn with_trouble(&self, show: Show) -> Show {
        match (show, self.trouble) {
            (Show::Idle | Show::Offline, Some(trouble)) => Show::Trouble(trouble),
            _ => show,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_come_before_what_they_cause_and_own_eyes_before_a_note() {
        let well = Seen {
            noted: None,
            online: Some(true),
            said: None,
            sound: true,
            cut_off: false,
        };
        let offline = Seen {
            online: Some(false),
            ..well
        };
        let noted = |noted, seen| Seen {
            noted: Some(noted),
            ..seen
        };
        let said = |said, seen| Seen {
            said: Some(said),
            ..seen
        };
        let deaf = |seen| Seen {
            sound: false,
            ..seen
        };
        let cut_off = |seen| Seen {
            cut_off: true,
            ..seen
        };
        let unasked = Seen {
            online: None,
            ..well
        };
        use Trouble::*;
        let cases = [
            (well, None),
            (offline, None),
            (noted(Config, well), Some(Config)),
            (noted(WayIn, well), Some(WayIn)),
            (noted(WayIn, offline), None),
            (noted(Other, offline), Some(Other)),
            (noted(Wifi, offline), Some(Wifi)),
            (noted(Wifi, unasked), Some(Wifi)),
            (noted(Wifi, well), None),
            (noted(Network, well), None),
            (noted(Key, well), None),
            (noted(Key, unasked), Some(Key)),
            (said(Key, well), Some(Key)),
            (noted(Wifi, said(Network, offline)), Some(Wifi)),
            (noted(WayIn, said(Blocked, offline)), Some(Blocked)),
            (deaf(well), Some(Sound)),
            (deaf(said(Key, well)), Some(Key)),
            (noted(Sound, well), None),
            (noted(WayIn, deaf(well)), Some(Sound)),
            (cut_off(well), Some(WayIn)),
            (cut_off(noted(Wifi, offline)), Some(Wifi)),
        ];
        for (seen, want) in cases {
            assert_eq!(first(seen), want, "{seen:?}");
        }
    }

    #[test]
    fn a_note_is_read_again_when_it_changes_and_forgotten_when_it_goes() {
        let path = std::env::temp_dir().join(format!("callbox-note-{}", std::process::id()));
        let mut note = Note::new(Some(path.clone()));
        assert_eq!(note.look(), None);
        fs::write(&path, "wifi\n").unwrap();
        assert_eq!(note.look(), Some(Trouble::Wifi));
        fs::write(&path, "x".repeat(100)).unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(later).unwrap();
        assert_eq!(note.look(), None, "nobody's word");
        fs::remove_file(&path).unwrap();
        assert_eq!(note.look(), None);
        assert_eq!(Note::new(None).look(), None);
    }
}
