//! The device tests its own sound, at an hour when nobody is there.
//!
//! ```text
//!  Clock ─due─▶ Take::begin ─▶ audio thread plays and hears ─▶ Over
//!                 ▲ stop: a finger, a call                      │ a thread of its own
//!                 │                                             ▼
//!  any call ──────┘              status, lamp, file ◀── Report ─┘
//! ```
//!
//! Looked at once a second. A test begins only at rest and with both sides of
//! the card there; whatever is not rest ends it at once, and the next one is
//! that of the next day.
//!
//! Thread: control runtime; what was heard is taken apart, and kept, on another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::timetable::Timetable;
use super::{Daemon, Schedule, is_at_rest};
use crate::audio::BUS_RATE;
use crate::audio::probe::{State, Take};
use crate::audio::sweep::{Heard, Sweep, measure};
use crate::config::{Days, TimeOfDay};
use crate::edge::card::Stats;
use crate::edge::clock::Stamp;
use crate::edge::sound_test::{Cards, Report};
use crate::edge::zone::Local;
use crate::units::ButtonId;

/// When the device tests its sound, and what for.
#[derive(Debug)]
pub struct Plan {
    /// The time of the day, in the zone of all hours.
    pub at: TimeOfDay,
    /// What plays and hears; [`audio::Config::probe`](crate::audio::Config::probe)
    /// is the same.
    pub take: Arc<Take>,
    /// What advice calls the cards.
    pub cards: Cards,
    /// Where the latest report is kept.
    pub path: PathBuf,
}

/// See the [module page](self).
pub(super) struct SelfTest {
    plan: Option<Plan>,
    timetable: Timetable,
    /// A test is under way, and what the card had counted when it began.
    running: Option<Counted>,
    judging: Option<oneshot::Receiver<Option<Report>>>,
    latest: Option<Report>,
}

impl SelfTest {
    pub(super) fn new(plan: Option<Plan>, path: &Path) -> Self {
        let daily = plan.as_ref().map(|plan| Schedule {
            name: "sound test".to_owned(),
            // It presses none.
            button: ButtonId(0),
            at: vec![plan.at],
            days: Days::ALL,
        });
        Self {
            plan,
            timetable: Timetable::new(daily.into_iter().collect()),
            running: None,
            judging: None,
            latest: Report::load(path),
        }
    }

    /// What the latest test found.
    pub(super) fn latest(&self) -> Option<&Report> {
        self.latest.as_ref()
    }

    /// Whether the latest found that somebody would not hear, or not be heard.
    pub(super) fn is_fault(&self) -> bool {
        self.latest.as_ref().is_some_and(|report| report.fault)
    }

    /// Somebody needs the sound: what is played ends. Says whether it was.
    pub(super) fn stop(&mut self) -> bool {
        let (Some(plan), Some(_)) = (&self.plan, self.running.take()) else {
            return false;
        };
        plan.take.stop();
        true
    }

    /// Once a second. What is to be told.
    fn look(&mut self, now: Instant, local: Option<Local>, free: bool, stats: &Stats) -> News {
        if let Some(local) = local {
            self.timetable.look(now, &local);
        }
        let Some(plan) = &self.plan else {
            return News::None;
        };
        if let Some(judging) = &mut self.judging {
            return match judging.try_recv() {
                Ok(None) => {
                    self.judging = None;
                    News::Torn
                }
                Ok(report) => {
                    self.judging = None;
                    self.latest = report;
                    News::Judged
                }
                Err(oneshot::error::TryRecvError::Empty) => News::None,
                Err(oneshot::error::TryRecvError::Closed) => {
                    self.judging = None;
                    News::None
                }
            };
        }
        match (self.running, plan.take.state()) {
            (Some(before), State::Over) => {
                self.running = None;
                self.judging = Some(judge(plan, before.until(stats)));
                News::None
            }
            (Some(_), _) => News::None,
            (None, State::Asked | State::Running | State::Stopping) => News::None,
            (None, _) => {
                let whole = stats.microphone.present() && stats.speaker.present();
                if free && whole && self.timetable.take(now).is_some() && plan.take.begin() {
                    self.running = Some(Counted::of(stats));
                    return News::Begun;
                }
                News::None
            }
        }
    }
}

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    None,
    Begun,
    /// Some of the sound is missing.
    Torn,
    Judged,
}

/// What the card has counted.
#[derive(Debug, Clone, Copy)]
struct Counted {
    late: u64,
    away: u64,
}

impl Counted {
    fn of(stats: &Stats) -> Self {
        let (mic, speaker) = (&stats.microphone, &stats.speaker);
        Self {
            late: mic.xruns() + speaker.xruns(),
            away: mic.losses() + mic.reopens() + speaker.losses() + speaker.reopens(),
        }
    }

    fn until(self, stats: &Stats) -> Whole {
        let now = Self::of(stats);
        if now.away != self.away {
            Whole::Away
        } else if now.late != self.late {
            Whole::Late
        } else {
            Whole::Yes
        }
    }
}

/// Whether all of the sound is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    /// Some of it is missing in between.
    Late,
    /// A side was not there for a time.
    Away,
}

impl Whole {
    /// A gap spoils what is fine about a measurement: a good word is true
    /// nevertheless, and so is that nothing was heard; unless the card was away.
    fn believes(self, report: &Report) -> bool {
        match self {
            Self::Yes => true,
            Self::Late => report.passed || report.fault,
            Self::Away => report.passed,
        }
    }
}

/// Takes apart what was heard, and keeps what was found and can be believed.
fn judge(plan: &Plan, whole: Whole) -> oneshot::Receiver<Option<Report>> {
    let (take, cards, path) = (
        Arc::clone(&plan.take),
        plan.cards.clone(),
        plan.path.clone(),
    );
    let (tell, judged) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let samples = take.heard();
        let heard = Heard {
            samples: &samples,
            clipped: take.clipped(),
            converted_ms: take.converted_ms(),
        };
        let measured = measure(&Sweep::new(BUS_RATE), &heard);
        let report = Report::new(Stamp::system(), &measured, &cards);
        let report = whole.believes(&report).then_some(report);
        if let Some(Err(error)) = report.as_ref().map(|report| report.save(&path)) {
            tracing::warn!("{}: the sound test is not kept: {error}", path.display());
        }
        // The daemon may have ended.
        _ = tell.send(report);
    });
    judged
}

impl Daemon {
    /// Once a second.
    pub(super) fn look_at_self_test(&mut self, local: Option<Local>) {
        let free = is_at_rest(self.call.phase()) && self.takes_no_press().is_none();
        let now = Instant::now();
        match self.self_test.look(now, local, free, &self.sound.stats) {
            News::None => {}
            News::Begun => {
                tracing::info!("the sound is tested: a sweep of two seconds");
                self.event("sound test", "begun");
            }
            News::Torn => {
                tracing::warn!("the sound test came to nothing: the card was late or away");
                self.event("sound test", "came to nothing");
            }
            News::Judged => {
                let Some(report) = self.self_test.latest() else {
                    return;
                };
                for found in &report.findings {
                    tracing::warn!("sound test: {}; {}", found.what, found.fix);
                }
                let verdict = report.verdict();
                tracing::info!(
                    delay_ms = report.delay_ms,
                    echo_loss_db = report.echo_loss_db,
                    "sound test: {verdict}"
                );
                self.event("sound test", verdict);
            }
        }
    }

    /// Somebody is there, or a call begins: it goes first.
    pub(super) fn end_self_test(&mut self) {
        if self.self_test.stop() {
            tracing::info!("the sound test is ended: somebody needs the sound");
            self.event("sound test", "ended by a call");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::audio::MicChannel;
    use crate::audio::engine::Format;
    use crate::audio::probe::Probe;
    use crate::edge::zone::Zone;

    const MONO: Format = Format {
        rate: 16_000,
        channels: 1,
    };

    /// A device whose time has come, and its card.
    struct Bench {
        test: SelfTest,
        take: Arc<Take>,
        probe: Probe,
        stats: Stats,
        path: PathBuf,
    }

    impl Bench {
        fn new(name: &str) -> Self {
            let folder = format!("callbox-self-test-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.join("sound-test.json");
            let sweep = Sweep::new(BUS_RATE);
            let take = Take::new(sweep.samples(), sweep.listen());
            let plan = Plan {
                at: "03:30".parse().unwrap(),
                take: Arc::clone(&take),
                cards: Cards::default(),
                path: path.clone(),
            };
            let stats = Stats::default();
            stats.microphone.set_present(true);
            stats.speaker.set_present(true);
            Self {
                test: SelfTest::new(Some(plan), &path),
                probe: Probe::new(Arc::clone(&take), MicChannel::Both, MONO, MONO),
                take,
                stats,
                path,
            }
        }

        fn look(&mut self, time: &str, free: bool) -> News {
            let stamp = Stamp::parse(&format!("2026-11-22T{time}Z")).unwrap();
            let local = Zone::named("UTC").unwrap().local(stamp);
            self.test
                .look(Instant::now(), Some(local), free, &self.stats)
        }

        /// The card turns for some periods; the microphone hears `share` of it.
        fn turn(&mut self, periods: usize, share: i16) -> bool {
            let mut heard = vec![0; 160];
            for turn in 0..periods {
                let mut period = [0; 160];
                self.probe.capture(&heard);
                self.probe.render(&mut period);
                heard.clear();
                let hiss = |n: usize| (n * 7 + turn) as i16 % 5 - 2;
                heard.extend((0..160).map(|n| period[n] / 8 * share + hiss(n)));
            }
            self.take.state() == State::Over
        }

        async fn judged(&mut self) -> Report {
            loop {
                if self.look("03:31:00", true) == News::Judged {
                    return self.test.latest().unwrap().clone();
                }
                tokio::task::yield_now().await;
            }
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            _ = std::fs::remove_dir_all(self.path.parent().unwrap());
        }
    }

    #[tokio::test]
    async fn it_tests_once_a_day_and_keeps_what_it_found() {
        let mut bench = Bench::new("daily");
        assert_eq!(bench.look("03:29:59", true), News::None);
        assert_eq!(bench.look("03:30:00", true), News::Begun);
        assert!(bench.turn(400, 1));
        let report = bench.judged().await;
        assert!(report.passed, "{report:?}");
        assert_eq!(report.delay_ms, Some(10.0));
        assert!(!bench.test.is_fault());
        assert_eq!(bench.look("03:30:59", true), News::None);
        assert_eq!(Report::load(&bench.path), Some(report.clone()));
        let again = SelfTest::new(None, &bench.path);
        assert_eq!(again.latest(), Some(&report), "it outlives a restart");
    }

    #[tokio::test]
    async fn a_deaf_microphone_is_a_fault_until_it_hears_again() {
        let mut bench = Bench::new("deaf");
        assert_eq!(bench.look("03:30:00", true), News::Begun);
        assert!(bench.turn(400, 0));
        assert_eq!(bench.judged().await.findings[0].name, "unheard");
        assert!(bench.test.is_fault());
        let stamp = Stamp::parse("2026-11-23T03:30:00Z").unwrap();
        let local = Zone::named("UTC").unwrap().local(stamp);
        let news = bench
            .test
            .look(Instant::now(), Some(local), true, &bench.stats);
        assert_eq!(news, News::Begun);
        assert!(bench.turn(400, 1));
        assert!(bench.judged().await.passed);
        assert!(!bench.test.is_fault());
    }

    #[tokio::test]
    async fn a_call_ends_it_at_once_and_nothing_is_found() {
        let mut bench = Bench::new("call");
        assert_eq!(bench.look("03:30:00", true), News::Begun);
        assert!(!bench.turn(100, 1));
        assert!(bench.test.stop());
        assert!(!bench.test.stop(), "once");
        bench.turn(3, 1);
        assert_eq!(bench.take.state(), State::Stopped);
        let mut period = [0; 160];
        bench.probe.render(&mut period);
        assert_eq!(period, [0; 160]);
        assert_eq!(bench.look("03:30:10", true), News::None);
        assert_eq!(bench.test.latest(), None);
    }

    #[tokio::test]
    async fn it_waits_for_a_call_to_end_and_for_the_card() {
        let mut bench = Bench::new("waits");
        assert_eq!(bench.look("03:30:00", false), News::None);
        bench.stats.microphone.set_present(false);
        assert_eq!(bench.look("03:32:00", true), News::None);
        bench.stats.microphone.set_present(true);
        assert_eq!(bench.look("03:35:00", true), News::Begun);
        bench.turn(10, 1);
        assert!(bench.turn(400, 1));
        assert!(bench.judged().await.passed);
    }

    #[tokio::test]
    async fn what_a_card_spoils_by_being_late_or_away_is_not_believed() {
        type Trouble = fn(&Stats);
        let late: Trouble = |stats| stats.speaker.count_xrun();
        let away: Trouble = |stats| stats.microphone.count_loss();
        // The share that is heard, and whether what is found is believed.
        let cases = [
            (late, 1, true),
            (late, 0, true),
            (late, 9, false),
            (away, 1, true),
            (away, 0, false),
        ];
        for (n, (trouble, share, believed)) in cases.into_iter().enumerate() {
            let mut bench = Bench::new(&format!("spoilt-{n}"));
            assert_eq!(bench.look("03:30:00", true), News::Begun);
            trouble(&bench.stats);
            assert!(bench.turn(400, share));
            let news = loop {
                match bench.look("03:30:05", true) {
                    News::None => tokio::task::yield_now().await,
                    news => break news,
                }
            };
            assert_eq!(news == News::Judged, believed, "{n}: {news:?}");
            assert_eq!(bench.test.latest().is_some(), believed, "{n}");
            assert_eq!(Report::load(&bench.path).is_some(), believed, "{n}");
        }
    }

    #[test]
    fn without_a_time_it_never_tests() {
        let path = PathBuf::from("/nonexistent/sound-test.json");
        let mut test = SelfTest::new(None, &path);
        let stats = Stats::default();
        let local = Zone::named("UTC").unwrap().local(Stamp::built());
        let later = Instant::now() + Duration::from_secs(1);
        assert_eq!(test.look(later, Some(local), true, &stats), News::None);
        assert!(!test.stop() && !test.is_fault());
    }
}
