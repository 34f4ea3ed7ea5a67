//! What the system tells of the board it runs on.
//!
//! Read at start, by `doctor` and by `callbox board`; two small files.

use std::fs::{self, File};
use std::io::Read;

/// Where a device tree says which machine this is. A PC has none.
const MODEL: &str = "/proc/device-tree/model";

/// Bytes of it that are read.
const MODEL_MAX: u64 = 256;

/// Where the driver of a Pi 5's chip, and that of all others, say whether they
/// leave outputs driven that a process has given back.
const PERSIST_RP1: &str = "/sys/module/pinctrl_rp1/parameters/persist_gpio_outputs";
const PERSIST: &str = "/sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs";

/// What the device tree calls the machine, as it stands there.
#[must_use]
pub fn model() -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(MODEL).ok()?;
    file.take(MODEL_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Whether an output of the chip with this label stays as it was when its
/// process dies; `None`: the driver does not say. A kernel for all boards has
/// both drivers.
#[must_use]
pub fn outputs_persist(chip: &str) -> Option<bool> {
    let path = match chip {
        "pinctrl-rp1" => PERSIST_RP1,
        _ => PERSIST,
    };
    match fs::read_to_string(path).ok()?.trim() {
        "Y" | "1" => Some(true),
        "N" | "0" => Some(false),
        _ => None,
    }
}
