//! `callbox board` at a terminal.

use crate::support::{Folder, run};

#[test]
fn the_known_boards_and_cards_are_listed_and_shown() {
    let list = run("board list");
    assert_eq!(list.code, Some(0), "{list:#?}");
    for name in ["pi-zero-2-w", "pi-3", "pi-4", "pi-5", "usb-speakerphone"] {
        assert!(list.out.contains(name), "no {name} in\n{}", list.out);
    }
    let show = run("board show pi-5");
    assert!(show.out.contains("pinctrl-rp1"), "{show:#?}");
    assert!(show.out.contains("contact to pin 11 (GPIO17)"), "{show:#?}");
    let card = run("board show wm8960-hat");
    assert!(card.out.contains("dtoverlay=wm8960-soundcard"), "{card:#?}");
}

#[test]
fn a_picture_is_drawn_as_the_configuration_wires_it() {
    let folder = Folder::new();
    let config = folder.config("http://127.0.0.1:1").replace(
        "[sound]",
        "line = \"GPIO22\"\n[[lamp]]\nline = \"GPIO23\"\n[sound]",
    );
    let file = folder.write("callbox.toml", &config);
    let picture = folder.path.join("wiring.svg");
    let said = run(&format!(
        "board show pi-3 --sound usb-stick --config {} --picture {}",
        file.display(),
        picture.display()
    ));
    assert_eq!(said.code, Some(0), "{said:#?}");
    let svg = std::fs::read_to_string(&picture).unwrap();
    for want in [
        "<svg",
        "pin 15 GPIO22",
        "pin 16 GPIO23",
        "prefers-color-scheme:dark",
    ] {
        assert!(svg.contains(want), "no {want} in\n{svg}");
    }
    let nowhere = run("board show pi-3 --picture /nowhere/at/all.svg");
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.err.contains("/nowhere/at/all.svg"), "{nowhere:#?}");
}

#[test]
fn this_machine_is_looked_at_and_compared() {
    let folder = Folder::new();
    let config = folder.config("http://127.0.0.1:1");
    let said = folder.callbox("board detect", &config);
    assert!(said.out.starts_with("board "), "{said:#?}");
    assert!(said.out.contains("\nlines "), "{said:#?}");
    let named = config.replace("[service]", "[board]\nmodel = \"pi-4\"\n[service]");
    let said = folder.callbox("board detect", &named);
    assert!(said.out.contains("[board] model is \"pi-4\""), "{said:#?}");
    let missing = run("board detect --config /nowhere/callbox.toml");
    assert_eq!(missing.code, Some(0), "{missing:#?}");
}

#[test]
fn a_name_nobody_has_says_which_there_are() {
    let folder = Folder::new();
    let unknown = run("board show pi-9");
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("board list"), "{unknown:#?}");
    for (key, want) in [
        (
            "model = \"pi-9\"",
            "\"pi-9\" is none of auto, pi-zero-2-w, pi-3",
        ),
        (
            "sound = \"hifi\"",
            "\"hifi\" is none of auto, none, wm8960-hat",
        ),
        ("mixer = \"loud\"", "unknown variant `loud`"),
    ] {
        let config = folder.config("http://127.0.0.1:1");
        let config = config.replace("[service]", &format!("[board]\n{key}\n[service]"));
        let said = folder.callbox("config check", &config);
        assert_eq!(said.code, Some(1));
        assert!(said.err.contains(want), "no {want} in {said:#?}");
    }
}
