//! What the system tells of the board it runs on.
//!
//! Read at start, by `doctor` and by `callbox board`; two small files.

use std::fs::{self, File};
use std::io::Read;

/// Where a device tree says which machine this is. A PC has none.
const MODEL: &str = "/proc/device-tree/model";

/// Bytes of it that are read.
const MODEL_MAX: u64 = 256;

/// Where the drivers of the header's chips say whether they leave outputs
/// driven that a process has given back.
const PERSIST: [&str; 2] = [
    "/sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs",
    "/sys/module/pinctrl_rp1/parameters/persist_gpio_outputs",
];

/// What the device tree calls the machine, as it stands there.
#[must_use]
pub fn model() -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(MODEL).ok()?;
    file.take(MODEL_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Whether an output stays as it was when its process dies; `None`: the driver
/// does not say.
#[must_use]
pub fn outputs_persist() -> Option<bool> {
    let said = PERSIST
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())?;
    match said.trim() {
        "Y" | "1" => Some(true),
        "N" | "0" => Some(false),
        _ => None,
    }
}
