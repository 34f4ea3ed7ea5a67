//! Pictures of calls that were, and of records that nobody should have written.

use super::*;
use crate::edge::clock::Stamp;
use crate::edge::store::{Column, OpenedBy, Outcome};
use crate::units::E164;

/// A call of `seconds`, answered after 9 s, with a stall, lost packets and a
/// door opened twice.
fn talk(seconds: u32) -> (Row, Vec<Opening>, Timeline) {
    let ms = seconds * 1000;
    let mut row = Row::new("0123456789abcdef");
    row.to_number = E164::parse("+15005550199").ok();
    row.sent_after_ms = Some(3);
    row.ringing_after_ms = Some(1_900);
    row.answered_after_ms = Some(9_400);
    row.joined_after_ms = Some(9_420);
    row.ended_after_ms = Some(ms);
    row.talk_ms = Some(ms - 9_400);
    row.outcome = Some(Outcome::Answered);
    row.closed = Some(true);
    row.codec = Some("PCMU/8000".into());
    (row.delay_p50_ms, row.delay_p95_ms) = (Some(62), Some(118));
    (row.concealed_ms, row.skipped_ms) = (Some(340), Some(880));
    row.echo_loss_db = Some(48.2);
    row.service_hangup_reason = Some("remote_hangup".into());
    let opening = |after_ms, door| Opening {
        at: Stamp::from_unix_ms(0),
        after_ms,
        door,
        by: OpenedBy::Code,
        number: None,
    };
    let openings = vec![opening(ms * 6 / 10, 0), opening(ms * 61 / 100, 1)];
    (row, openings, sound(ms))
}

fn sound(ms: u32) -> Timeline {
    let mut timeline = Timeline::default();
    let mut seed = 1_u32;
    let mut random = move |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % below
    };
    for n in 36..ms / 250 {
        let visitor = n / 14 % 2 == 0;
        let speaks = |is: bool, loud: u32| match is {
            true => -((12 + loud) as i8),
            false => -52 - loud as i8 / 4,
        };
        let stall = n == 150;
        let column = Column {
            mic_db: speaks(visitor, random(16)),
            far_db: speaks(!visitor && !stall, random(16)),
            delay_ms: 60 + random(8) as u16 + if stall { 140 } else { 0 },
            concealed_ms: if n % 47 == 0 {
                60
            } else {
                u16::from(stall) * 200
            },
            dropped_ms: if n == 153 { 250 } else { 0 },
        };
        timeline.put(n * 250, column);
    }
    for (at_ms, what) in [
        (2, "press"),
        (3, "dialing"),
        (1_901, "ringing"),
        (9_300, "stream 1 of attempt 1"),
        (9_350, "started: PCMU/8000"),
        (9_410, "first media"),
        (9_421, "joined"),
        (37_500, "reconnecting"),
        (38_200, "stream 2 of attempt 1"),
        (ms * 6 / 10, "front door opened"),
        (ms, "ended: FarHungUp"),
    ] {
        timeline.note(at_ms, what);
    }
    timeline
}

fn draw(row: &Row, openings: &[Opening], timeline: Option<&Timeline>) -> String {
    let call = Call {
        row,
        openings,
        timeline,
        date: Some("2026-11-22 18:49:02 CET"),
        doors: &["front door".to_owned()],
        numbers: false,
    };
    let picture = svg(&call);
    assert_well_formed(&picture);
    picture
}

/// Elements closed in order, attributes quoted, no bare `&` or `<`: enough of
/// XML for what is written here.
fn assert_well_formed(picture: &str) {
    let mut open = Vec::new();
    let mut rest = picture;
    while let Some((text, tag)) = rest.split_once('<') {
        assert!(!text.contains('>'), "{text}");
        for entity in text.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
            assert!(known.iter().any(|k| entity.starts_with(k)), "{entity}");
        }
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
        let (tag, after) = tag.split_once('>').unwrap();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap().to_owned()),
        }
        rest = after;
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_call_is_drawn() {
    let (row, openings, timeline) = talk(83);
    let picture = draw(&row, &openings, Some(&timeline));
    for said in [
        "Call to +…199 on 2026-11-22 18:49:02 CET: answered",
        "73 s talk · PCMU/8000 · delay 62 ms",
        ">press, dialing<",
        ">ringing<",
        ">answered, joined<",
        ">front door opened by code<",
        ">door 1 opened by code<",
        ">ended<",
        ">reconnecting<",
        ">microphone<",
        ">speaker<",
        ">playout delay<",
        ">made up<",
        ">skipped<",
        ">1:20<",
    ] {
        assert!(picture.contains(said), "{said} is not in {picture}");
    }
    assert_eq!(picture.matches("front door").count(), 1, "said twice");
    for not_said in ["5005550199", "script", "NaN", "inf", "events have no room"] {
        assert!(!picture.contains(not_said), "{not_said} is in {picture}");
    }
}

#[test]
fn a_record_with_few_facts_is_drawn() {
    let picture = draw(&Row::new("x"), &[], None);
    assert!(picture.contains("Call to an unknown number on 2026-11-22 18:49:02 CET: open"));
    assert!(picture.contains("no sound was measured"));
    let picture = draw(&Row::new("x"), &[], Some(&Timeline::default()));
    assert!(picture.contains("no sound was measured"));
}

#[test]
fn words_from_elsewhere_stay_words() {
    let (mut row, openings, mut timeline) = talk(60);
    row.codec = Some("</svg><script>alert('&\"')</script>\u{0}\u{1b}[31m\u{202e}".into());
    timeline.note(
        30_000,
        "<b>&\u{7}\u{fffe} and so on, for much longer than it is",
    );
    let picture = draw(&row, &openings, Some(&timeline));
    assert!(picture.contains("&lt;/svg&gt;&lt;script&gt;"), "{picture}");
    assert!(!picture.contains("<script") && !picture.contains('\u{202e}'));
}

#[test]
fn the_largest_record_is_drawn_and_bounded() {
    let (mut row, _, _) = talk(60);
    row.ended_after_ms = Some(u32::MAX);
    row.codec = Some("x".repeat(1024));
    let mut timeline = Timeline {
        step_ms: u32::MAX,
        ..Timeline::default()
    };
    timeline.columns = vec![
        Column {
            mic_db: 127,
            far_db: -127,
            delay_ms: u16::MAX,
            concealed_ms: u16::MAX,
            dropped_ms: u16::MAX,
        };
        1200
    ];
    for n in 0..300 {
        timeline.note(n * 1000, "an event of forty characters or still more");
    }
    let opening = Opening {
        at: Stamp::from_unix_ms(0),
        after_ms: u32::MAX,
        door: 255,
        by: OpenedBy::Word,
        number: None,
    };
    let picture = draw(&row, &vec![opening; 64], Some(&timeline));
    assert!(picture.len() < 600_000, "{}", picture.len());
    assert!(picture.contains("more events have no room here"));
    assert!(!picture.contains("NaN") && !picture.contains("inf"));
}

/// Where each label of a picture is: (row's y, from, to).
fn labels(picture: &str) -> Vec<(String, f64, f64, f64)> {
    let number = |line: &str, name: &str| -> f64 {
        let at = line.split_once(&format!(" {name}=\"")).unwrap().1;
        at.split('"').next().unwrap().parse().unwrap()
    };
    let texts = picture.lines().filter(|line| line.starts_with("<text"));
    texts
        .map(|line| {
            let text = line.split_once('>').unwrap().1;
            let text = text.split('<').next().unwrap();
            // Characters of 11 px are 6 px wide on average, of 15 px 8.
            let wide = if line.contains("\"title\"") { 8.2 } else { 6.0 };
            let width = wide * text.chars().count() as f64;
            let x = number(line, "x");
            let from = match line {
                l if l.contains("\"end\"") => x - width,
                l if l.contains("\"middle\"") => x - width / 2.0,
                _ => x,
            };
            (text.to_owned(), number(line, "y"), from, from + width)
        })
        .collect()
}

#[test]
fn no_two_texts_overlap() {
    for seconds in [10, 12, 20, 45, 83, 300, 3_000] {
        let (mut row, mut openings, mut timeline) = talk(seconds);
        row.confirmed_after_ms = Some(9_410);
        for n in 0..8 {
            let mut more = openings[0].clone();
            more.after_ms += n * 200;
            openings.push(more);
            timeline.note(n * 900, "something else happened");
        }
        let picture = draw(&row, &openings, Some(&timeline));
        let labels = labels(&picture);
        for (n, (text, y, from, to)) in labels.iter().enumerate() {
            assert!(*from > 0.0 && *to < WIDTH, "{seconds} s: {text} is cut off");
            for (other, other_y, other_from, other_to) in &labels[..n] {
                let apart = (y - other_y).abs() >= 10.0 || to < other_from || other_to < from;
                assert!(apart, "{seconds} s: {text:?} over {other:?}");
            }
        }
    }
}
