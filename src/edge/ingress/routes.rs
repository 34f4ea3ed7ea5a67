//! Which token belongs to which attempt at a call, and which one to calls that
//! come in.
//!
//! Always true: a token outlives its attempt, so that a stream which comes
//! late is met, and told to stop, instead of being turned away while the call
//! it belongs to runs on at the service (rule 2 of the design). The oldest of
//! [`ROUTES_MAX`] gives way; the inbound path never does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::units::{AttemptId, CallId, Mode};
use crate::wire::handshake::{Context, Direction, Refusal, Target, Token};

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
    inbound: Option<(Token, Mode)>,
    probes: VecDeque<Token>,
}

#[derive(Debug)]
struct Route {
    token: Token,
    attempt: AttemptId,
    mode: Mode,
    call: Option<CallId>,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteOf {
    /// The call of this attempt; perhaps one that is over.
    Attempt(AttemptId),
    /// Calls to the device. The stream's context names one.
    Inbound,
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missed {
    Refused(Refusal),
    /// The path is of this attempt, and the call is not.
    Stray {
        attempt: AttemptId,
        call: CallId,
    },
}

impl Routes {
    /// Lets streams in at `token` for `attempt`, from before the request that
    /// places the call: the stream may come first. It is asked for `mode`.
    pub fn open(&self, token: Token, attempt: AttemptId, mode: Mode) {
        let routes = &mut self.table().routes;
        if routes.len() == ROUTES_MAX {
            routes.pop_front();
        }
        routes.push_back(Route {
            token,
            attempt,
            mode,
            call: None,
        });
    }

    /// Lets calls to the device in at `token`, the one fixed path for them;
    /// they are asked for `mode`.
    pub fn open_inbound(&self, token: Token, mode: Mode) {
        self.table().inbound = Some((token, mode));
    }

    /// From now on only streams of `call` are let in for `attempt`, whoever
    /// named it: the answer to its request, a look at the service's list, or
    /// the first stream. A later word takes the place of an earlier one.
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

    /// What a stream belongs to, and what it is asked for.
    pub(super) fn find(
        &self,
        target: &Target,
        context: Option<&Context>,
    ) -> Result<(RouteOf, Mode), Missed> {
        let table = self.table();
        match target {
            Target::Media(token) => table.find_attempt(token, context),
            Target::Inbound(token) => table.find_inbound(token, context).map_err(Missed::Refused),
            Target::Probe(_) => Err(Missed::Refused(Refusal::UnknownPath)),
        }
    }

    /// Whether a path leads anywhere.
    pub(super) fn knows(&self, target: &Target) -> bool {
        let table = self.table();
        match target {
            Target::Media(token) => table.route(token).is_some(),
            Target::Inbound(token) => table.inbound.is_some_and(|(open, _)| open == *token),
            Target::Probe(token) => table.probes.contains(token),
        }
    }

    /// Whether calls to the device are let in.
    pub(super) fn has_inbound(&self) -> bool {
        self.table().inbound.is_some()
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

impl Table {
    fn route(&self, token: &Token) -> Option<&Route> {
        self.routes.iter().find(|r| r.token == *token)
    }

    fn find_attempt(
        &self,
        token: &Token,
        context: Option<&Context>,
    ) -> Result<(RouteOf, Mode), Missed> {
        let route = self.route(token);
        let route = route.ok_or(Missed::Refused(Refusal::UnknownPath))?;
        let said = context.and_then(|c| c.call.as_ref());
        match (&route.call, said) {
            (Some(known), Some(said)) if known != said => Err(Missed::Stray {
                attempt: route.attempt,
                call: said.clone(),
            }),
            _ => Ok((RouteOf::Attempt(route.attempt), route.mode)),
        }
    }

    fn find_inbound(
        &self,
        token: &Token,
        context: Option<&Context>,
    ) -> Result<(RouteOf, Mode), Refusal> {
        let (_, mode) = self
            .inbound
            .filter(|(open, _)| open == token)
            .ok_or(Refusal::UnknownPath)?;
        let context = context.ok_or(Refusal::Unnamed)?;
        if context.direction != Some(Direction::Inbound) {
            return Err(Refusal::NotInbound);
        }
        context.call.as_ref().ok_or(Refusal::Unnamed)?;
        Ok((RouteOf::Inbound, mode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Mode = Mode {
        tts: true,
        stt: true,
    };

    fn token(n: u8) -> Token {
        Token::from_random([n; 24])
    }

    fn media(n: u8) -> Target {
        Target::Media(token(n))
    }

    fn inbound(n: u8) -> Target {
        Target::Inbound(token(n))
    }

    fn of(attempt: u32) -> Result<(RouteOf, Mode), Missed> {
        Ok((RouteOf::Attempt(AttemptId(attempt)), Mode::default()))
    }

    fn refused(refusal: Refusal) -> Result<(RouteOf, Mode), Missed> {
        Err(Missed::Refused(refusal))
    }

    fn says(call: &str) -> Context {
        Context {
            call: CallId::parse(call),
            ..Context::default()
        }
    }

    fn calls(call: &str) -> Context {
        Context {
            direction: Some(Direction::Inbound),
            ..says(call)
        }
    }

    #[test]
    fn tokens_outlive_their_attempt_until_the_table_is_full() {
        let routes = Routes::default();
        routes.open_inbound(token(200), TEXT);
        for n in 0..=ROUTES_MAX as u8 {
            routes.open(token(n), AttemptId(u32::from(n)), Mode::default());
        }
        assert_eq!(routes.find(&media(0), None), refused(Refusal::UnknownPath));
        assert_eq!(routes.find(&media(1), None), of(1));
        assert_eq!(routes.find(&media(64), None), of(64));
        assert!(routes.knows(&inbound(200)));
    }

    #[test]
    fn another_calls_stream_is_a_stray_once_the_call_is_known() {
        let routes = Routes::default();
        routes.open(token(1), AttemptId(1), Mode::default());
        assert_eq!(routes.find(&media(1), Some(&says("b"))), of(1));
        routes.expect(AttemptId(1), CallId::parse("a").unwrap());
        assert_eq!(routes.find(&media(1), Some(&says("a"))), of(1));
        assert_eq!(routes.find(&media(1), None), of(1));
        let stray = Missed::Stray {
            attempt: AttemptId(1),
            call: CallId::parse("b").unwrap(),
        };
        assert_eq!(routes.find(&media(1), Some(&says("b"))), Err(stray));
    }

    #[test]
    fn each_route_asks_for_its_own_mode() {
        let routes = Routes::default();
        routes.open(token(1), AttemptId(1), Mode::default());
        routes.open(token(2), AttemptId(2), TEXT);
        assert_eq!(routes.find(&media(1), None), of(1));
        let text = (RouteOf::Attempt(AttemptId(2)), TEXT);
        assert_eq!(routes.find(&media(2), None), Ok(text));
    }

    #[test]
    fn the_inbound_path_takes_named_inbound_calls_only() {
        let routes = Routes::default();
        let unknown = refused(Refusal::UnknownPath);
        assert_eq!(routes.find(&inbound(1), Some(&calls("a"))), unknown);
        routes.open_inbound(token(1), TEXT);
        let outbound = Context {
            direction: Some(Direction::Outbound),
            ..says("a")
        };
        let cases = [
            (inbound(1), Some(calls("a")), Ok((RouteOf::Inbound, TEXT))),
            (inbound(1), Some(calls("b")), Ok((RouteOf::Inbound, TEXT))),
            (inbound(1), Some(says("a")), refused(Refusal::NotInbound)),
            (inbound(1), Some(outbound), refused(Refusal::NotInbound)),
            (inbound(1), Some(calls("")), refused(Refusal::Unnamed)),
            (inbound(1), None, refused(Refusal::Unnamed)),
            (inbound(2), Some(calls("a")), unknown.clone()),
            // Its token is of no use on the other path.
            (media(1), Some(calls("a")), unknown),
        ];
        for (target, context, want) in cases {
            let found = routes.find(&target, context.as_ref());
            assert_eq!(found, want, "{context:?}");
        }
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
