//! How many keys of the far end are believed in a second.

/// Keys a second, of those the service tells and of those that are heard. A
/// person presses up to eight; more than this is a machine, which would try
/// every code of a door in minutes.
pub(super) const KEYS_MAX: u32 = 12;

/// What came in the present second.
#[derive(Debug, Default)]
pub(super) struct Keys {
    told: u32,
    heard: u32,
}

impl Keys {
    /// Whether the key is one of few enough.
    pub(super) fn take(&mut self, in_band: bool) -> bool {
        let count = if in_band {
            &mut self.heard
        } else {
            &mut self.told
        };
        *count += 1;
        *count <= KEYS_MAX
    }

    /// Another second begins.
    pub(super) fn tick(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_over_with_its_second() {
        let mut keys = Keys::default();
        let taken = |keys: &mut Keys, in_band| (0..1000).filter(|_| keys.take(in_band)).count();
        assert_eq!(taken(&mut keys, false), KEYS_MAX as usize);
        // The two ways do not crowd each other out.
        assert_eq!(taken(&mut keys, true), KEYS_MAX as usize);
        keys.tick();
        assert_eq!(taken(&mut keys, false), KEYS_MAX as usize);
    }
}
