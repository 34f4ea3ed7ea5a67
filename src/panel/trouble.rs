//! What keeps the device from its work, as a number of flashes to count.
//!
//! The one table of it: the lamp flashes it, `doctor` and the report on the
//! card name it, the README explains it. One short flash and two are taken by
//! [`Show::Offline`](super::Show) and [`Show::Stuck`](super::Show).
//!
//! The order is that in which causes come before what they cause: of several,
//! the first is shown.

/// What is wrong, as far as a lamp can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The configuration is missing or wrong.
    Config,
    /// There is no API key, or the service takes neither it nor the number.
    Key,
    /// The Wi-Fi password does not fit, or `wifi.txt` is wrong.
    Wifi,
    /// No cable, no access point, no address or no name server.
    Network,
    /// Somebody else answers in the service's place, or the clock is wrong.
    Blocked,
    /// Microphone or speaker is missing.
    Sound,
    /// The service cannot reach this device.
    WayIn,
    /// Anything else.
    Other,
}

impl Trouble {
    /// All of them, the first to be shown first.
    pub const ALL: [Self; 8] = [
        Self::Config,
        Self::Key,
        Self::Wifi,
        Self::Network,
        Self::Blocked,
        Self::Sound,
        Self::WayIn,
        Self::Other,
    ];

    /// How often the lamp flashes before it pauses.
    #[must_use]
    pub const fn flashes(self) -> usize {
        match self {
            Self::Other => 3,
            Self::Config => 4,
            Self::Key => 5,
            Self::Wifi => 6,
            Self::Network => 7,
            Self::Blocked => 8,
            Self::Sound => 9,
            Self::WayIn => 10,
        }
    }

    /// A word for files and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Config => "config",
            Self::Key => "key",
            Self::Wifi => "wifi",
            Self::Network => "network",
            Self::Blocked => "blocked",
            Self::Sound => "sound",
            Self::WayIn => "way-in",
        }
    }

    /// What [`name`](Self::name) said.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| trouble.name() == name)
    }

    /// What it means, for the person who counted.
    #[must_use]
    pub const fn means(self) -> &'static str {
        match self {
            Self::Other => "callbox needs care: see the report",
            Self::Config => "callbox.toml is missing or wrong",
            Self::Key => "the API key is missing, or the service refuses it or the number",
            Self::Wifi => "the Wi-Fi password does not fit, or wifi.txt is wrong",
            Self::Network => "no cable, no access point, no address or no name server",
            Self::Blocked => "a login page or filter in the way, or a wrong clock",
            Self::Sound => "microphone or speaker is missing",
            Self::WayIn => "the service cannot reach this device",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_and_a_number_of_its_own() {
        for (i, a) in Trouble::ALL.into_iter().enumerate() {
            assert_eq!(Trouble::parse(a.name()), Some(a));
            for b in &Trouble::ALL[..i] {
                assert_ne!(a.flashes(), b.flashes());
            }
        }
        assert_eq!(Trouble::parse("offline"), None);
    }
}
