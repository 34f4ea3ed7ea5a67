//! Which token belongs to which attempt at a call.
//!
//! Always true: a token outlives its attempt, so that a stream which comes
//! late is met, and told to stop, instead of being turned away while the call
//! it belongs to runs on at the service (rule 2 of the design). The oldest of
//! [`ROUTES_MAX`] gives way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::units::{AttemptId, CallId};
use crate::wire::handshake::{Context, Refusal, Token};

/// Tokens of calls that are known, those of past attempts included.
pub const ROUTES_MAX: usize = 64;
/// Round trips that may be under way.
pub const PROBES_MAX: usize = 4;

/// The table, shared between the daemon and the ingress. A clone is the same
/// table.
#[derive(Debug, Clone, Default)]
pub struct Routes(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    routes: VecDeque<Route>,
    probes: VecDeque<Token>,
}

#[derive(Debug)]
struct Route {
    token: Token,
    attempt: AttemptId,
    call: Option<CallId>,
}

impl Routes {
    /// Lets streams in at `token` for `attempt`, from before the request that
    /// places the call: the stream may come first.
    pub fn open(&self, token: Token, attempt: AttemptId) {
        let routes = &mut self.table().routes;
        if routes.len() == ROUTES_MAX {
            routes.pop_front();
        }
        routes.push_back(Route {
            token,
            attempt,
            call: None,
        });
    }

    /// From now on only streams of `call` are let in for `attempt`.
    pub fn expect(&self, attempt: AttemptId, call: CallId) {
        let mut table = self.table();
        if let Some(route) = table.routes.iter_mut().find(|r| r.attempt == attempt) {
            route.call = Some(call);
        }
    }

    /// Lets one round trip in at `token`; the oldest of [`PROBES_MAX`] gives way.
    pub fn open_probe(&self, token: Token) {
        let probes = &mut self.table().probes;
        if probes.len() == PROBES_MAX {
            probes.pop_front();
        }
        probes.push_back(token);
    }

    /// The attempt a stream belongs to.
    pub(super) fn find(
        &self,
        token: &Token,
        context: Option<&Context>,
    ) -> Result<AttemptId, Refusal> {
        let table = self.table();
        let route = table.routes.iter().find(|r| r.token == *token);
        let route = route.ok_or(Refusal::UnknownPath)?;
        let said = context.and_then(|c| c.call.as_ref());
        match (&route.call, said) {
            (Some(known), Some(said)) if known != said => Err(Refusal::OtherCall),
            _ => Ok(route.attempt),
        }
    }

    /// Whether somebody waits for this round trip; it is used up by that.
    pub(super) fn take_probe(&self, token: &Token) -> bool {
        let probes = &mut self.table().probes;
        let place = probes.iter().position(|p| p == token);
        place.and_then(|at| probes.remove(at)).is_some()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is one push or one assignment: a panic elsewhere leaves
        // the table whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: u8) -> Token {
        Token::from_random([n; 24])
    }

    fn says(call: &str) -> Context {
        Context {
            call: CallId::parse(call),
            ..Context::default()
        }
    }

    #[test]
    fn tokens_outlive_their_attempt_until_the_table_is_full() {
        let routes = Routes::default();
        for n in 0..=ROUTES_MAX as u8 {
            routes.open(token(n), AttemptId(u32::from(n)));
        }
        assert_eq!(routes.find(&token(0), None), Err(Refusal::UnknownPath));
        assert_eq!(routes.find(&token(1), None), Ok(AttemptId(1)));
        assert_eq!(routes.find(&token(64), None), Ok(AttemptId(64)));
    }

    #[test]
    fn another_calls_stream_is_refused_once_the_call_is_known() {
        let routes = Routes::default();
        routes.open(token(1), AttemptId(1));
        assert_eq!(routes.find(&token(1), Some(&says("b"))), Ok(AttemptId(1)));
        routes.expect(AttemptId(1), CallId::parse("a").unwrap());
        assert_eq!(routes.find(&token(1), Some(&says("a"))), Ok(AttemptId(1)));
        assert_eq!(routes.find(&token(1), None), Ok(AttemptId(1)));
        let other = routes.find(&token(1), Some(&says("b")));
        assert_eq!(other, Err(Refusal::OtherCall));
    }

    #[test]
    fn a_probe_is_answered_once() {
        let routes = Routes::default();
        routes.open_probe(token(1));
        assert!(!routes.take_probe(&token(2)));
        assert!(routes.take_probe(&token(1)));
        assert!(!routes.take_probe(&token(1)));
    }
}
