//! A device that cannot begin yet: it says why, shows it, and stays until it can.
//!
//! The service manager is told that it is ready, since it is as ready as it
//! gets without a person, and hears the reason as the unit's status; its
//! watchdog is fed. There are no buttons, no sound and no ports meanwhile.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use embedded_hal::digital::OutputPin;
use sd_notify::NotifyState;
use tokio::time::{Instant, sleep, sleep_until};

use super::health::tell;
use crate::edge::panel_inputs::KernelClock;
use crate::panel::{Config, Input, LampRole, Output, Panel, Show, Trouble};

/// Between two tries: a person who mends a file looks at the lamp.
const AGAIN: Duration = Duration::from_secs(2);

/// Tries `begin` until it succeeds, or `stop` is done: then `None`. Meanwhile
/// the lamps, opened anew for each new reason, show what is wrong.
///
/// # Errors
/// When the system gives no runtime or no clock.
pub fn wait_for<T, P: OutputPin>(
    mut begin: impl FnMut() -> Result<T, (Trouble, String)>,
    mut lamps: impl FnMut() -> Vec<(LampRole, P)>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<Option<T>> {
    let first = match begin() {
        Ok(begun) => return Ok(Some(begun)),
        Err(problem) => problem,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let clock = KernelClock::new()?;
    runtime.block_on(async {
        let mut stop = pin!(stop);
        // Whoever is told that we are ready may say stop at once.
        let at_once = poll_fn(|context| Poll::Ready(stop.as_mut().poll(context)));
        if at_once.await.is_ready() {
            return Ok(None);
        }
        let mut problem = first;
        loop {
            let (trouble, why) = &problem;
            tracing::error!(
                flashes = trouble.flashes(),
                "callbox waits until this is mended: {why}"
            );
            // A line's end would begin another message.
            let status = why.replace('\n', " ");
            tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
            let panel = shown(*trouble, &clock, lamps());
            let again = next(&mut begin, &problem);
            tokio::select! {
                () = light(panel, &clock) => {}
                begun = again => match begun {
                    Ok(begun) => return Ok(Some(begun)),
                    Err(other) => problem = other,
                },
                () = &mut stop => {
                    tell(&[NotifyState::Stopping]);
                    return Ok(None);
                }
            }
        }
    })
}

/// Tries until it succeeds, or fails for another reason.
async fn next<T>(
    begin: &mut impl FnMut() -> Result<T, (Trouble, String)>,
    before: &(Trouble, String),
) -> Result<T, (Trouble, String)> {
    loop {
        sleep(AGAIN).await;
        tell(&[NotifyState::Watchdog]);
        match begin() {
            Err(problem) if problem == *before => {}
            other => return other,
        }
    }
}

fn shown<P: OutputPin>(
    trouble: Trouble,
    clock: &KernelClock,
    lamps: Vec<(LampRole, P)>,
) -> Panel<P> {
    let mut panel = Panel::new(clock.now(), &Config::default(), &[], lamps, Vec::new());
    panel.handle(clock.now(), Input::Show(Show::Trouble(trouble)));
    panel
}

/// Drives the lamps, without end.
async fn light<P: OutputPin>(mut panel: Panel<P>, clock: &KernelClock) {
    loop {
        match panel.poll() {
            Output::WaitUntil(Some(due)) => {
                sleep_until(Instant::from_std(clock.instant_of(due))).await;
                panel.handle(clock.now(), Input::Tick);
            }
            Output::WaitUntil(None) => std::future::pending().await,
            Output::LampFault { kind, .. } => {
                tracing::error!(?kind, "the line of a lamp does not take a value");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::virtual_panel::{Diary, Thing, VirtualPin};

    const LAMP: Thing = Thing::Lamp(LampRole::Status);

    fn diary() -> Diary {
        Diary::new(KernelClock::new().unwrap())
    }

    #[test]
    fn what_is_good_at_once_is_not_waited_for() {
        let lamps = || -> Vec<(LampRole, VirtualPin)> { panic!("no lamp is needed") };
        let begun = wait_for(|| Ok(7), lamps, std::future::pending());
        assert_eq!(begun.unwrap(), Some(7));
    }

    #[test]
    fn it_flashes_until_the_file_is_mended() {
        let diary = diary();
        let mut tries = 0;
        let begin = || {
            tries += 1;
            match tries {
                1..=2 => Err((Trouble::Config, "line 3".to_owned())),
                _ => Ok("good"),
            }
        };
        let lamps = || vec![(LampRole::Status, diary.pin(LAMP))];
        let begun = wait_for(begin, lamps, std::future::pending());
        assert_eq!(begun.unwrap(), Some("good"));
        let changes = diary.changes();
        let lit = changes.iter().filter(|change| change.on).count();
        assert!(lit >= Trouble::Config.flashes(), "{changes:?}");
        assert!(!changes.last().unwrap().on, "it is left dark");
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        let diary = diary();
        let never = || Err::<(), _>((Trouble::Key, "no key".to_owned()));
        let lamps = || vec![(LampRole::Status, diary.pin(LAMP))];
        let stop = async { sleep(Duration::from_millis(300)).await };
        assert_eq!(wait_for(never, lamps, stop).unwrap(), None);
    }
}
