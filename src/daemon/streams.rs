//! Media streams: what comes in at the door and over the live socket, and what
//! is done with it.

use crate::audio::engine::Command;
use crate::audio::prompt::FarPrompt;
use crate::audio::tone::Tone;
use crate::call::{Input, OpenedBy, Source};
use crate::edge::ingress::{Accepted, Event as Door, RouteOf, Upgraded};
use crate::edge::socket::{self as stream, End, Flow, What};
use crate::edge::store::Party;
use crate::panel::Show;
use crate::trace::Counter;
use crate::units::{AttemptId, CallId, Mode, SocketId};
use crate::wire::handshake::Context;
use crate::wire::media::Transcript;
use crate::wire::rest::{ApiError, Call};

use super::faults::{Fault, Watch};
use super::inbound::NotIn;
use super::{Daemon, face_of, service};

/// A stream let in that the call has not yet decided about.
#[derive(Debug)]
pub(super) struct Waiting {
    upgraded: Upgraded,
    mode: Mode,
}

/// The stream that carries the call.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) socket: SocketId,
    pub(super) attempt: AttemptId,
    mode: Mode,
    watch: Watch,
    /// Seconds for which nothing has come in on it.
    pub(super) silent_s: u32,
}

// What comes in.
impl Daemon {
    pub(super) fn on_door(&mut self, event: Door) {
        match event {
            Door::Accepted(accepted) => self.on_accepted(accepted),
            Door::Stray { attempt, call } => {
                tracing::error!(%call, "a second call came in on one attempt's address: it is hung up");
                self.handle(Input::Stray { attempt, call });
            }
        }
    }

    fn on_accepted(&mut self, accepted: Accepted) {
        let Accepted {
            route,
            mode,
            socket,
            context,
            upgraded,
        } = accepted;
        let context = context.unwrap_or_default();
        self.waiting.insert(socket, Waiting { upgraded, mode });
        match route {
            RouteOf::Attempt(attempt) => self.on_stream(attempt, socket, context),
            RouteOf::Inbound => self.on_inbound(socket, context),
        }
    }

    fn on_stream(&mut self, attempt: AttemptId, socket: SocketId, context: Context) {
        tracing::debug!(?attempt, ?socket, "a media stream was let in");
        self.event(
            "ingress",
            format!("stream {} of attempt {}", socket.0, attempt.0),
        );
        if let Some(call) = &context.call {
            self.expect(attempt, call);
        }
        let answered = context.status.as_deref() == Some("answered");
        self.handle(Input::Stream {
            attempt,
            socket,
            call: context.call,
            answered,
        });
    }

    /// A stream on the inbound path: the service is asked whether it is what
    /// it says, unless the call is up already.
    fn on_inbound(&mut self, socket: SocketId, context: Context) {
        self.event("ingress", format!("inbound stream {}", socket.0));
        if let Some(call) = &context.call
            && self.attempts.is_inbound_up(call)
        {
            // It was judged when it began. That it comes again may be due to a
            // network that keeps the service from answering, too.
            let call = call.clone();
            return self.handle(Input::Incoming { socket, call });
        }
        let may_ask = match self.stopping {
            Some(_) => Err(NotIn::Ending),
            None => self.desk.ask(socket, self.is_quiet()),
        };
        match (context.call, may_ask) {
            (Some(call), Ok(())) => {
                self.ask_service(|rest| service::confirm(rest, socket, call));
            }
            // The door lets in none without a name.
            (None, _) => self.turn_away(socket, None, NotIn::NotOurs),
            (Some(call), Err(why)) => self.turn_away(socket, Some(call), why),
        }
    }

    /// The service was asked for the call of an inbound stream.
    pub(super) fn on_confirmed(
        &mut self,
        socket: SocketId,
        call: CallId,
        answer: Result<Box<Call>, ApiError>,
    ) {
        if let Err(error) = &answer {
            tracing::warn!(%call, "an inbound call is not confirmed: {error}");
        }
        match self.desk.judge(socket, answer.as_deref(), &self.from) {
            Ok(()) => self.handle(Input::Incoming { socket, call }),
            Err(why) => self.turn_away(socket, Some(call), why),
        }
    }

    /// Sends home who still waits for the service's word: the process ends, and
    /// a call whose socket merely closes would linger.
    pub(super) fn dismiss_callers(&mut self) {
        for (_, waiting) in self.waiting.drain() {
            tokio::spawn(stream::dismiss(waiting.upgraded, NotIn::Ending.word()));
        }
    }

    fn turn_away(&mut self, socket: SocketId, call: Option<CallId>, why: NotIn) {
        tracing::warn!("an inbound call is turned away: {why}");
        self.event("call", format!("inbound call turned away: {why}"));
        self.trace.count(Counter::InboundTurnedAway);
        if let Some(waiting) = self.waiting.remove(&socket) {
            tokio::spawn(stream::dismiss(waiting.upgraded, why.word()));
        }
        if let Some(call) = call.filter(|_| why.is_ours()) {
            let attempt = AttemptId(0);
            self.handle(Input::Stray { attempt, call });
        }
    }

    /// From now on the door knows which call an attempt's is.
    pub(super) fn expect(&self, attempt: AttemptId, call: &CallId) {
        // Attempts of an earlier process share this number.
        if attempt != AttemptId(0) {
            self.routes.expect(attempt, call.clone());
        }
    }

    pub(super) fn on_media(&mut self, event: stream::Event) {
        let socket = event.socket;
        match event.what {
            What::Started { encoding } => {
                self.event("socket", format!("started: {encoding}"));
                self.attempts.encoding(socket, encoding);
                let stream = socket.0;
                self.engine.push(Command::Encode { stream, encoding });
            }
            What::FirstMedia => {
                self.event("socket", "first media");
                self.handle(Input::MediaHeard { socket });
            }
            What::Flow(flow) => self.on_flow(socket, flow),
            What::Dtmf { digit, in_band } => {
                // Which one is not for the log: it may be of the code of a door.
                tracing::debug!(in_band, "the callee pressed a key");
                let source = match in_band {
                    true => Source::InBand,
                    false => Source::Signalled,
                };
                self.handle(Input::Digit {
                    socket,
                    digit,
                    source,
                });
            }
            What::Transcript(transcript) => self.on_transcript(socket, transcript),
            What::BargeIn(_) => self.event("socket", "the far end spoke over the announcement"),
            What::Spoken { whole } => {
                if whole {
                    self.write_said(socket);
                }
                self.handle(Input::Spoken { socket, whole });
            }
            What::PromptOver => {
                // What the device says in sound is an utterance, too.
                self.media.tell(stream::Command::AudioDone);
            }
            What::ServiceError { code, text } => {
                tracing::warn!(?code, ?text, "the service reports an error on the stream");
            }
            What::Ended(end) => self.on_stream_end(socket, end),
        }
    }

    fn on_transcript(&mut self, socket: SocketId, transcript: Transcript) {
        // Words that may yet change open no door and are on no record.
        if !transcript.is_final {
            return;
        }
        self.write_line(socket, Party::Far, transcript.text.clone());
        self.handle(Input::Heard {
            socket,
            text: transcript.text,
        });
    }

    fn on_stream_end(&mut self, socket: SocketId, end: End) {
        self.event("socket", format!("ended: {end:?}"));
        if self.live.as_ref().is_some_and(|live| live.socket == socket) {
            self.live = None;
            self.recorder.iter_mut().for_each(|r| r.pause());
            self.engine.push(Command::Disconnect);
        }
        match end {
            End::Stopped(_) => self.handle(Input::StreamStop { socket }),
            End::Closed(code) => self.handle(Input::StreamLost { socket, code }),
            End::Lost(why) => {
                tracing::warn!(%why, "the media stream broke");
                self.handle(Input::StreamLost { socket, code: None });
            }
            End::Unsupported(why) => {
                tracing::error!("the call is ended: {why}");
                self.handle(Input::StreamUnsupported { socket });
            }
            End::Replaced | End::Left => {}
        }
    }

    /// Looks at one second of a socket. That nothing comes in is for the call
    /// to judge; that nothing goes out is seen here.
    fn on_flow(&mut self, socket: SocketId, flow: Flow) {
        if flow.received > 0 {
            self.handle(Input::MediaHeard { socket });
        }
        if let Some(attempt) = self.attempts.of_socket(socket) {
            self.attempts.add_stale(attempt, flow.stale);
        }
        let microphone = self.sound.stats.microphone.present();
        let Some(live) = self.live.as_mut().filter(|live| live.socket == socket) else {
            return;
        };
        live.silent_s = if flow.received > 0 {
            0
        } else {
            live.silent_s + 1
        };
        if !live.mode.sends_sound() {
            return;
        }
        let attempt = live.attempt;
        let sound = self.stats.snapshot();
        match live.watch.look(&sound, flow.sent > 0, microphone) {
            Some(Some(fault)) => self.on_fault(attempt, fault),
            Some(None) => {
                tracing::info!("the sound is well again");
                self.event("call", "the sound is well again");
                self.media.show(face_of(self.shown, self.shown).0);
            }
            None => {}
        }
    }

    fn on_fault(&mut self, attempt: AttemptId, fault: Fault) {
        let words = fault.words();
        tracing::error!("the sound of the call is bad: {words}");
        self.event("call", format!("bad sound: {words}"));
        self.trace.count(match fault.is_one_way() {
            true => Counter::OneWayAudio,
            false => Counter::BadSound,
        });
        self.attempts.fault(attempt, fault);
        self.media.show(Show::Trouble(fault.trouble()));
        self.engine.push(Command::Tone(Tone::Trouble));
    }
}

// What goes out.
impl Daemon {
    pub(super) fn attach(&mut self, attempt: AttemptId, socket: SocketId, joined: bool) {
        let Some(Waiting { upgraded, mode }) = self.waiting.remove(&socket) else {
            return;
        };
        self.attempts.attached(
            attempt,
            socket,
            mode,
            &self.stats,
            &self.sound.stats,
            &self.random,
        );
        let stream = socket.0;
        self.engine.push(Command::Connect {
            stream,
            mode,
            joined,
        });
        if !joined {
            let prompt = match self.attempts.is_inbound(attempt) {
                true => FarPrompt::RingBack,
                false => FarPrompt::Confirm,
            };
            self.engine.push(Command::Prompt(Some(prompt)));
        }
        let attach = stream::Command::Attach {
            socket,
            stream,
            mode,
            upgraded,
        };
        if self.media.tell(attach) {
            self.live = Some(Live {
                socket,
                attempt,
                mode,
                watch: Watch::new(&self.stats.snapshot()),
                silent_s: 0,
            });
        } else {
            tracing::error!("the media runtime takes no stream");
            self.handle(Input::StreamLost { socket, code: None });
        }
    }

    /// From now on visitor and callee hear each other.
    pub(super) fn join(&mut self) {
        self.event("call", "joined");
        self.engine.push(Command::Prompt(None));
        self.engine.push(Command::Join);
    }

    /// Has the announcement spoken.
    pub(super) fn say(&mut self, attempt: AttemptId, socket: SocketId) {
        let text = self.announcement(attempt);
        self.attempts.said(attempt, &text);
        self.event("call", "announcing");
        self.media.tell(stream::Command::Say { socket, text });
    }

    pub(super) fn stop_stream(&mut self, socket: SocketId) {
        if self.live.as_ref().is_some_and(|live| live.socket == socket) {
            self.media.tell(stream::Command::Stop { reason: "hangup" });
        } else if let Some(waiting) = self.waiting.remove(&socket) {
            tokio::spawn(stream::dismiss(waiting.upgraded, "hangup"));
        }
    }

    pub(super) fn close_stream(&mut self, socket: SocketId) {
        if self.live.as_ref().is_some_and(|live| live.socket == socket) {
            self.media.tell(stream::Command::Close);
        } else {
            self.waiting.remove(&socket);
        }
    }

    /// Opens a door, and says who did.
    pub(super) fn open_door(&mut self, attempt: AttemptId, door: u8, by: OpenedBy) {
        let name = self.doors.get(usize::from(door));
        let name = name.map_or("", |door| door.name.as_str()).to_owned();
        if !self.media.open(door) {
            tracing::error!(door = name, "the door's relay cannot be worked");
            self.event("door", "not opened: the panel takes no more");
            return;
        }
        tracing::info!(door = name, ?by, "the door is opened");
        self.event("door", format!("{name} opened"));
        self.engine
            .push(Command::Prompt(Some(FarPrompt::DoorOpened)));
        self.write_opening(attempt, door, by);
    }
}
