//! Places for strangers, and who gives way when all are taken.
//!
//! ```text
//!  newcomer ─▶ [ oldest | … | youngest ] ─▶ let in, refused or gone
//!                 └─▶ gives way, once it has had STAY_MIN
//! ```
//!
//! Whoever says nothing costs a stranger nothing either, so a full crowd must
//! not keep the service out: the stranger who came first gives way to the
//! newcomer. The service's own stream is a stranger too until it is judged.
//! A flood must therefore not push it out faster than it can speak, and
//! nobody gives way before he has had [`STAY_MIN`]; until then the newcomer
//! waits, and those behind him in the kernel's queue. Turning the newcomer away
//! instead would let a fresh crowd shut the door for that long.
//!
//! Its limit: [`PLACES`] strangers in every [`STAY_MIN`], 128 a second, are
//! let in without end. Where more than that keep coming and stay, the kernel's
//! queue is full and the service's stream gets in by luck, with its system's
//! repeated tries; so much has to be stopped before the door.
//!
//! Always true: no more than [`PLACES`] places are held; one newcomer makes at
//! most one stranger give way.
//!
//! Thread: control runtime.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use super::HANDSHAKES_MAX as PLACES;

/// What a stranger has for sure. From the accept on, the service needs one
/// round trip for TLS 1.3 and its request, two for TLS 1.2: 200 ms each are
/// allowed for, and the board's own work.
pub const STAY_MIN: Duration = Duration::from_millis(500);

/// Those who are listened to, the oldest first.
pub(super) struct Crowd {
    free: Arc<Semaphore>,
    strangers: VecDeque<Stranger>,
}

struct Stranger {
    since: Instant,
    /// Closed as soon as the place is free.
    give_way: oneshot::Sender<()>,
}

/// A stranger's place, free again when this is dropped.
pub(super) struct Place {
    told: oneshot::Receiver<()>,
    _permit: OwnedSemaphorePermit,
}

impl Crowd {
    pub(super) fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(PLACES)),
            strangers: VecDeque::with_capacity(PLACES),
        }
    }

    /// A place for a newcomer: a free one, or the oldest stranger's.
    pub(super) async fn place(&mut self) -> Place {
        let permit = self.permit().await;
        let (give_way, told) = oneshot::channel();
        self.strangers.push_back(Stranger {
            since: Instant::now(),
            give_way,
        });
        Place {
            told,
            _permit: permit,
        }
    }

    async fn permit(&mut self) -> OwnedSemaphorePermit {
        let free = Arc::clone(&self.free).acquire_owned();
        let mut free = pin!(async { free.await.expect("the semaphore is never closed") });
        loop {
            self.strangers.retain(|s| !s.give_way.is_closed());
            let Some(oldest) = self.strangers.front() else {
                return free.await;
            };
            if let Ok(permit) = timeout_at(oldest.since + STAY_MIN, &mut free).await {
                return permit;
            }
            if let Some(oldest) = self.strangers.pop_front()
                && oldest.give_way.send(()).is_ok()
            {
                return free.await;
            }
        }
    }
}

impl Place {
    /// Comes to an end when the place is wanted for a newcomer.
    pub(super) async fn wanted(&mut self) {
        // The crowd itself is gone: then so is everything else.
        _ = (&mut self.told).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of a full crowd, the oldest first.
    async fn fill(crowd: &mut Crowd) -> VecDeque<Place> {
        let mut places = VecDeque::new();
        for _ in 0..PLACES {
            places.push_back(crowd.place().await);
        }
        places
    }

    fn is_wanted(place: &mut Place) -> bool {
        place.told.try_recv().is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_gives_way_and_nobody_else() {
        let mut crowd = Crowd::new();
        let mut places = fill(&mut crowd).await;
        tokio::time::advance(STAY_MIN).await;
        let start = Instant::now();
        let mut oldest = places.pop_front().unwrap();
        let gives_way = async move {
            oldest.wanted().await;
            drop(oldest);
        };
        let (_newcomer, ()) = tokio::join!(crowd.place(), gives_way);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(!places.iter_mut().any(is_wanted));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_gives_way_before_his_time() {
        let mut crowd = Crowd::new();
        let mut places = fill(&mut crowd).await;
        let start = Instant::now();
        let mut oldest = places.pop_front().unwrap();
        let gives_way = async move {
            oldest.wanted().await;
            start.elapsed()
        };
        let (_newcomer, stayed) = tokio::join!(crowd.place(), gives_way);
        // Tokio's timers count whole milliseconds, and round up.
        let rounding = Duration::from_millis(1);
        assert!((STAY_MIN..=STAY_MIN + rounding).contains(&stayed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_comes_free_is_taken_at_once() {
        let mut crowd = Crowd::new();
        let mut places = fill(&mut crowd).await;
        let start = Instant::now();
        let leaves = async {
            tokio::task::yield_now().await;
            places.pop_back();
        };
        let (_newcomer, ()) = tokio::join!(crowd.place(), leaves);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(!places.iter_mut().any(is_wanted));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_pushes_nobody_out_before_his_time() {
        let mut crowd = Crowd::new();
        let mut places = fill(&mut crowd).await;
        for _ in 0..10 * PLACES {
            let since = crowd.strangers[0].since;
            let mut oldest = places.pop_front().unwrap();
            let gives_way = async move {
                oldest.wanted().await;
                since.elapsed()
            };
            let (newcomer, stayed) = tokio::join!(crowd.place(), gives_way);
            assert!(stayed >= STAY_MIN, "{stayed:?}");
            places.push_back(newcomer);
        }
    }
}
