//! What was seen on the board's lines: changes with their times, and the
//! patterns of the status lamp among them.

use std::time::Duration;

use callbox::panel::{Show, Trouble};

/// A line that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The guest's wall clock.
    pub(crate) at: Duration,
    pub(crate) line: String,
    pub(crate) on: bool,
}

/// A time of a pattern that is off by so much is another time. What is watched
/// is seen a millisecond late at most; the rest is the emulator's.
const TOLERANCE: Duration = Duration::from_millis(45);

/// Reads what `line watch` writes; a line that is not yet whole is left out.
pub(crate) fn changes(text: &str) -> Vec<Change> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(change).collect()
}

fn change(line: &str) -> Option<Change> {
    let mut words = line.split_whitespace();
    Some(Change {
        at: Duration::from_micros(words.next()?.parse().ok()?),
        line: words.next()?.to_owned(),
        on: words.next()? == "1",
    })
}

/// How long each state of `line` lasted that has begun and ended: lit or dark,
/// and the time.
pub(crate) fn lasted(changes: &[Change], line: &str) -> Vec<(bool, Duration)> {
    let own: Vec<&Change> = changes.iter().filter(|c| c.line == line).collect();
    let pair = |pair: &[&Change]| (pair[0].on, pair[1].at - pair[0].at);
    own.windows(2).map(pair).collect()
}

/// Whether `lasted` has a whole period of `show` in it. Where.
pub(crate) fn find(lasted: &[(bool, Duration)], show: Show) -> Option<usize> {
    let steps = steps(show);
    let period = steps.len();
    let fits = |(have, want): (&(bool, Duration), &(bool, Duration))| {
        have.0 == want.0 && have.1.abs_diff(want.1) < TOLERANCE
    };
    lasted.windows(period.max(2)).position(|have| {
        (0..period).any(|first| {
            let want = steps.iter().cycle().skip(first);
            have.iter().zip(want).all(fits)
        })
    })
}

/// One period of a pattern: lit or dark, and for how long.
fn steps(show: Show) -> Vec<(bool, Duration)> {
    let pattern = show.pattern();
    let mut steps = Vec::new();
    let mut at = Duration::ZERO;
    // No pattern has more changes than these hold twice.
    for _ in 0..64 {
        let (lit, next) = pattern.at(at);
        let next = next.expect("a pattern that changes");
        steps.push((lit, next - at));
        at = next;
    }
    let repeats = |period: &usize| steps.iter().zip(&steps[*period..]).all(|(a, b)| a == b);
    let period = (2..=32).step_by(2).find(repeats);
    steps.truncate(period.expect("patterns repeat"));
    steps
}

#[test]
fn a_pattern_is_found_where_it_is_and_nowhere_else() {
    let ms = Duration::from_millis;
    assert_eq!(steps(Show::Dialing), [(true, ms(500)), (false, ms(500))]);
    assert_eq!(steps(Show::Failed).len(), 8);
    assert_eq!(steps(Show::Trouble(Trouble::WayIn)).len(), 20);
    let ringing = [(true, 410), (false, 190), (true, 400), (false, 1010)];
    let seen = |row: &[(bool, u64)]| -> Vec<(bool, Duration)> {
        row.iter().map(|(lit, t)| (*lit, ms(*t))).collect()
    };
    let mut row = seen(&[(false, 70), (true, 333)]);
    row.push((false, ms(1000)));
    row.extend(seen(&ringing));
    assert_eq!(find(&row, Show::Ringing), Some(2));
    assert_eq!(find(&row[..5], Show::Ringing), None);
    assert_eq!(find(&row, Show::Dialing), None);
    let watched =
        "17000001 GPIO27 0\n17500001 GPIO27 1\n17600000 GPIO5 0\n17900001 GPIO27 0\n18 GPI";
    let watched = changes(watched);
    assert_eq!(watched.len(), 4);
    assert_eq!(
        lasted(&watched, "GPIO27"),
        seen(&[(false, 500), (true, 400)])
    );
}
