//! `callbox audio list`: the sound cards, for whoever writes `[sound]`.

use std::process::ExitCode;

use crate::cli::text;
use crate::edge::alsa::{self, Device, Scope};
use crate::edge::card::Direction;

pub(super) fn run() -> ExitCode {
    print!("{}", page(&alsa::list(), alsa::scope));
    ExitCode::SUCCESS
}

/// Columns before what is said of a side.
const INDENT: usize = 14;

/// All devices; `scope` says what one side of one can do, or who has it.
fn page(devices: &[Device], scope: impl Fn(&str, Direction) -> Result<Scope, String>) -> String {
    if devices.is_empty() {
        return "There is no sound card: plug one in, or see whether its driver is loaded \
                (`dmesg`).\n"
            .to_owned();
    }
    let mut out = String::new();
    for device in devices {
        out.push_str(&format!("{} ({})\n", device.name, device.title));
        let sides = [
            (Direction::Microphone, device.microphone.is_some()),
            (Direction::Speaker, device.speaker.is_some()),
        ];
        for (direction, there) in sides {
            let said = match there.then(|| scope(&device.name, direction)) {
                None => "none".to_owned(),
                Some(Ok(scope)) => scope.to_string(),
                Some(Err(why)) => why,
            };
            out.push_str(&format!(
                "  {direction:<12}",
                direction = direction.to_string()
            ));
            text::write_wrapped(&mut out, &said, INDENT);
        }
        let sides = sides.into_iter().filter(|(_, there)| *there);
        let lines: Vec<String> = sides
            .map(|(direction, _)| format!("  {direction} = {:?}\n", device.name))
            .collect();
        match lines.len() {
            0 => {}
            1 => {
                let (has, lacks) = match device.microphone {
                    Some(_) => ("takes sound in", Direction::Speaker),
                    None => ("plays", Direction::Microphone),
                };
                out.push_str(&format!(
                    "  It only {has}: another card must be the {lacks}. In [sound] write\n"
                ));
            }
            _ => out.push_str("  In [sound] write\n"),
        }
        lines
            .iter()
            .for_each(|line| out.push_str(&format!("  {line}")));
        out.push('\n');
    }
    out.push_str(
        "With plughw: ALSA converts what a card cannot do itself. Names with CARD= stay when\n\
         cards come and go. `callbox audio test` tries what [sound] names.\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::alsa::Rates;

    fn device(name: &str, microphone: bool, speaker: bool) -> Device {
        let rates = |there: bool| there.then(|| Rates::Known(vec![48_000]));
        Device {
            name: format!("plughw:CARD={name},DEV=0"),
            title: "USB Audio".to_owned(),
            microphone: rates(microphone),
            speaker: rates(speaker),
        }
    }

    #[test]
    fn an_installer_reads_what_each_card_does_and_what_to_write() {
        let devices = [
            device("Device", true, true),
            device("C270", true, false),
            device("vc4hdmi", false, true),
        ];
        let page = page(&devices, |name, direction| match (name, direction) {
            (name, _) if name.contains("C270") => Err("in use by arecord (process 7)".to_owned()),
            (_, Direction::Microphone) => Ok(Scope {
                rates: vec![44_100, 48_000],
                channels: (1, 1),
                period_us: (1_000, 85_333),
            }),
            (_, Direction::Speaker) => Ok(Scope {
                rates: vec![44_100],
                channels: (2, 2),
                period_us: (1_000, 85_333),
            }),
        });
        let want = "\
plughw:CARD=Device,DEV=0 (USB Audio)
  microphone  44100, 48000 Hz; mono; periods of 1.0 to 85.3 ms
  speaker     44100 Hz, which ALSA converts; stereo; periods of 1.0 to 85.3 ms
  In [sound] write
    microphone = \"plughw:CARD=Device,DEV=0\"
    speaker = \"plughw:CARD=Device,DEV=0\"

plughw:CARD=C270,DEV=0 (USB Audio)
  microphone  in use by arecord (process 7)
  speaker     none
  It only takes sound in: another card must be the speaker. In [sound] write
    microphone = \"plughw:CARD=C270,DEV=0\"

plughw:CARD=vc4hdmi,DEV=0 (USB Audio)
  microphone  none
  speaker     44100 Hz, which ALSA converts; stereo; periods of 1.0 to 85.3 ms
  It only plays: another card must be the microphone. In [sound] write
    speaker = \"plughw:CARD=vc4hdmi,DEV=0\"
";
        assert!(page.starts_with(want), "{page}");
    }

    #[test]
    fn no_card_at_all_is_said() {
        let page = page(&[], |_, _| Err(String::new()));
        assert!(page.starts_with("There is no sound card"), "{page}");
    }
}
