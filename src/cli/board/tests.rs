//! The pages and the pictures; those in `board/profiles` are the README's.

use super::*;

fn arguments(name: &str) -> ShowArguments {
    ShowArguments {
        name: name.to_owned(),
        picture: None,
        config: None,
        sound: None,
    }
}

/// What `BLESS=1 cargo test` writes anew.
fn held(path: &str, svg: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, svg).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, svg, "{}; BLESS=1 writes it anew", path.display());
}

#[test]
fn the_pictures_beside_the_profiles_are_what_is_drawn() {
    let board = Board::named("pi-4").unwrap();
    let parts = usual(board);
    let wired = connect(board, &parts);
    let svg = drawing::svg(board, &[], &wired);
    held("board/profiles/wiring.svg", &svg);
    let hat = Sound::named("wm8960-hat").unwrap();
    let svg = drawing::svg(board, &[hat], &wired);
    held("board/profiles/wiring-wm8960-hat.svg", &svg);
}

#[test]
fn every_profile_can_be_shown_within_eighty_columns() {
    let list = list();
    let names = boards().iter().map(|b| b.name);
    for name in names.chain(sounds().iter().map(|s| s.name)) {
        assert!(list.contains(name));
        let page = show(&arguments(name)).unwrap();
        assert!(page.contains("tried "), "{page}");
        for line in page.lines() {
            assert!(line.chars().count() <= text::WIDTH, "{line}");
        }
    }
}

#[test]
fn a_name_nobody_has_is_refused_with_a_hint() {
    let said = show(&arguments("pi-9")).unwrap_err().to_string();
    assert!(
        said.contains("\"pi-9\"") && said.contains("board list"),
        "{said}"
    );
    let mut card = arguments("usb-stick");
    card.picture = Some("x.svg".into());
    let said = show(&card).unwrap_err().to_string();
    assert!(said.contains("--sound usb-stick"), "{said}");
}

#[test]
fn a_full_panel_is_drawn_and_what_has_no_pin_is_told() {
    use crate::cli::board::wiring::{Part, Sort};
    use crate::edge::gpio::LineSpec;
    let board = Board::named("pi-zero-2-w").unwrap();
    let part = |n: u8, sort| Part {
        name: format!("<a> & part {n}"),
        sort,
        line: LineSpec::Name(format!("GPIO{n}")),
        active_low: n.is_multiple_of(2),
    };
    let buttons = (2..18).map(|n| part(n, Sort::Button));
    let lamps = (18..26).map(|n| part(n, Sort::Lamp));
    let doors = (26..30).map(|n| part(n, Sort::Relay));
    let parts: Vec<Part> = buttons.chain(lamps).chain(doors).collect();
    let svg = drawing::svg(board, &[], &connect(board, &parts));
    assert!(svg.contains("GPIO28 is not on the header"), "{svg}");
    assert!(!svg.contains("<a>"));
    assert_eq!(svg.matches("class=\"part\"").count(), 26);
}
