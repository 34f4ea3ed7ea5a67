//! Lines named in a configuration, looked up on made-up boards, and what
//! callbox says when one cannot be had.

use std::error::Error as _;
use std::path::PathBuf;

use callbox::edge::gpio::{
    ButtonLine, Buttons, ChipListing, LineListing, LinePin, LineSpec, Listing, Next, OutputLine,
    list,
};

fn chip(path: &str, label: &str, names: &[&str]) -> ChipListing {
    let line = |name: &&str| LineListing {
        name: (*name).into(),
        user: None,
    };
    ChipListing {
        path: path.into(),
        label: label.into(),
        lines: names.iter().map(line).collect(),
    }
}

/// A Raspberry Pi 4 with GPIO17 in use by the one-wire driver.
fn board() -> Listing {
    let names: Vec<String> = (0..28).map(|n| format!("GPIO{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut header = chip("/dev/gpiochip0", "pinctrl-bcm2711", &names);
    header.lines[17].user = Some("onewire@0".into());
    header.lines[27].user = Some(String::new());
    header.lines[26].user = Some("callbox".into());
    let expander = chip("/dev/gpiochip1", "raspberrypi-exp-gpio", &["BT_ON", "", ""]);
    Listing {
        chips: vec![header, expander],
        denied: Vec::new(),
    }
}

fn spec(text: &str) -> LineSpec {
    text.parse().unwrap()
}

#[test]
fn lines_are_found_by_name_and_by_label_and_offset() {
    let cases = [
        ("GPIO4", "/dev/gpiochip0", 4),
        (" GPIO0 ", "/dev/gpiochip0", 0),
        ("BT_ON", "/dev/gpiochip1", 0),
        ("pinctrl-bcm2711:4", "/dev/gpiochip0", 4),
        ("raspberrypi-exp-gpio:2", "/dev/gpiochip1", 2),
    ];
    for (text, chip, offset) in cases {
        let place = board().find(&spec(text)).unwrap();
        assert_eq!(
            (place.chip, place.offset),
            (PathBuf::from(chip), offset),
            "{text}"
        );
    }
}

/// The Pi 5's header moved from gpiochip4 to gpiochip0 in one kernel update.
#[test]
fn a_line_is_found_again_when_chips_are_numbered_anew() {
    let mut board = board();
    board.chips.reverse();
    board.chips[1].path = "/dev/gpiochip4".into();
    assert_eq!(
        board.find(&spec("GPIO4")).unwrap().chip,
        PathBuf::from("/dev/gpiochip4")
    );
}

#[test]
fn what_cannot_be_had_says_what_to_do() {
    let denied = Listing {
        denied: vec!["/dev/gpiochip0".into()],
        ..Listing::default()
    };
    let mut twins = board();
    twins
        .chips
        .push(chip("/dev/gpiochip2", "pinctrl-bcm2711", &["GPIO4"]));
    let cases = [
        (
            Listing::default(),
            "GPIO4",
            Next::Retry,
            "this machine has no GPIO lines (there is no /dev/gpiochip*); enable its GPIO driver, or try `callbox demo`, where the Enter key is the button",
        ),
        (
            denied,
            "GPIO4",
            Next::Retry,
            "callbox may not open /dev/gpiochip0; add its user to the group that owns the file, `sudo usermod -aG gpio USER` on most boards, and start it again",
        ),
        (
            board(),
            "GPIO117",
            Next::Retry,
            "no GPIO line is called \"GPIO117\"; names like it are GPIO11, GPIO17, GPIO1, GPIO10, GPIO12",
        ),
        (
            board(),
            "gpio4",
            Next::Retry,
            "no GPIO line is called \"gpio4\"; names like it are GPIO4, GPIO0, GPIO1, GPIO14, GPIO2",
        ),
        (
            board(),
            "pinctrl-rp1:4",
            Next::Retry,
            "no GPIO chip is labelled \"pinctrl-rp1\"; this machine has pinctrl-bcm2711, raspberrypi-exp-gpio",
        ),
        (
            board(),
            "raspberrypi-exp-gpio:3",
            Next::GiveUp,
            "\"raspberrypi-exp-gpio\" has 3 lines, numbered from 0; there is no 3",
        ),
        (
            twins.clone(),
            "GPIO4",
            Next::GiveUp,
            "two GPIO lines are called \"GPIO4\"; write \"pinctrl-bcm2711:4\" or \"pinctrl-bcm2711:0\" for the one you mean",
        ),
        (
            twins,
            "pinctrl-bcm2711:4",
            Next::GiveUp,
            "two GPIO chips are labelled \"pinctrl-bcm2711\"; name the line instead, as `callbox doctor` lists it",
        ),
        (
            board(),
            "GPIO17",
            Next::Retry,
            "GPIO line \"GPIO17\" is in use by \"onewire@0\"; stop that, or remove its `dtoverlay` or `dtparam` from config.txt, or wire to another line",
        ),
        (
            board(),
            "GPIO27",
            Next::Retry,
            "GPIO line \"GPIO27\" is in use by the kernel; stop that, or remove its `dtoverlay` or `dtparam` from config.txt, or wire to another line",
        ),
        (
            board(),
            "GPIO26",
            Next::Retry,
            "GPIO line \"GPIO26\" is in use by another callbox; stop that, or remove its `dtoverlay` or `dtparam` from config.txt, or wire to another line",
        ),
    ];
    for (board, text, next, message) in cases {
        let error = board.find(&spec(text)).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.next(), next, "{message}");
        assert!(error.source().is_none(), "{message}");
    }
}

/// A line may well be on the chip we may not look into.
#[test]
fn a_line_not_found_beside_a_closed_chip_is_a_matter_of_rights() {
    let mut board = board();
    board.denied.push("/dev/gpiochip2".into());
    let error = board.find(&spec("GPIO55")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("callbox may not open /dev/gpiochip2")
    );
    assert!(board.find(&spec("GPIO4")).is_ok());
}

#[test]
fn lines_are_written_as_they_are_read() {
    for text in [
        "GPIO17",
        "pinctrl-bcm2835:17",
        "20200000.gpio:3",
        "SODIMM_135",
        "PA7:reset",
    ] {
        assert_eq!(spec(text).to_string(), text);
    }
    let colon = spec("PA7:reset");
    assert_eq!(colon, LineSpec::Name("PA7:reset".into()));
}

#[test]
fn names_that_cannot_be_lines_say_why() {
    let cases = [
        ("", "does not say which line"),
        ("17", "does not say which line"),
        ("gpiochip0:17", "a number the kernel gives out"),
        ("/dev/gpiochip4:17", "a number the kernel gives out"),
        ("gpiochip0", "a number the kernel gives out"),
        (":17", "cannot be the name of a line"),
        ("a\nb", "cannot be the name of a line"),
        (&"x".repeat(32), "cannot be the name of a line"),
    ];
    for (text, why) in cases {
        let message = text.parse::<LineSpec>().unwrap_err().to_string();
        assert!(message.contains(why), "{text:?}: {message}");
    }
    let too_large = "chip:4294967296".parse::<LineSpec>();
    assert_eq!(too_large, Ok(LineSpec::Name("chip:4294967296".into())));
}

/// On the real system, whatever it has: nobody calls a line that.
#[tokio::test]
async fn a_line_that_is_not_there_is_an_error_on_any_machine() {
    list().expect("listing works with and without chips");
    let line = spec("callbox has no such line");
    let button = Buttons::open(&[ButtonLine::new(line.clone())]).unwrap_err();
    let lamp = LinePin::open(&OutputLine::new(line)).unwrap_err();
    for error in [button, lamp] {
        assert_ne!(error.next(), Next::Reopen, "{error}");
    }
}
