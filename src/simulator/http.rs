//! The HTTP side of the service: connections, bodies, and faults on order.
//!
//! One task accepts; each connection has a task of its own and is kept alive
//! between requests. What a request means is decided in `api`; here it is
//! decided whether it gets that far and whether the answer gets back.
//!
//! Bounds: [`CONNECTIONS`] at once, [`BODY_MAX`] per request, [`HEAD_TIME_OUT`]
//! for a request's head and between requests, [`BODY_TIME_OUT`] for its body.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::api::{self, Endpoint, Reply, Request};
use super::config::{Fault, Route};
use super::event::What;
use super::{Alive, Shared, stopped};

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 256;
/// Bytes of a request's body.
const BODY_MAX: usize = 64 * 1024;
/// For the head of a request, and for a connection nobody uses.
const HEAD_TIME_OUT: Duration = Duration::from_secs(60);
/// For the body of a request.
const BODY_TIME_OUT: Duration = Duration::from_secs(30);
/// Between the first half of an answer and its end in mid-air: enough for the
/// half to be sent.
const TRUNCATED_AFTER: Duration = Duration::from_millis(50);

/// What [`Fault::AnotherOne`] is about.
const NOBODYS: &str = "0b0d1e5c-0000-4000-8000-000000000000";

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Accepts until the simulator stops.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener, alive: Alive) {
    let mut stop = shared.stop.subscribe();
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &free) => accepted,
            () = stopped(&mut stop) => return,
        };
        // An error here is the client's, or too many open files: go on.
        if let Ok((stream, permit)) = accepted {
            let shared = Arc::clone(&shared);
            let alive = alive.clone();
            tokio::spawn(async move {
                converse(shared, stream, &alive).await;
                drop((permit, alive));
            });
        } else {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await;
    let permit = permit.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn converse(shared: Arc<Shared>, stream: TcpStream, alive: &Alive) {
    let mut stop = shared.stop.subscribe();
    let service = service_fn(|request| respond(Arc::clone(&shared), alive, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .auto_date_header(shared.service.tells_time)
        .header_read_timeout(HEAD_TIME_OUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // How a client leaves is its own affair.
        _ = connection => {}
        () = stopped(&mut stop) => {}
    }
}

/// Answers one request; an error closes the connection without an answer.
async fn respond(
    shared: Arc<Shared>,
    alive: &Alive,
    request: hyper::Request<Incoming>,
) -> io::Result<Response<Body>> {
    let path = request.uri().path();
    let named = path.strip_prefix(&*shared.base_path).unwrap_or(path);
    let line = format!("{} {named}", request.method());
    let route =
        Endpoint::of(&shared.base_path, path).map(|endpoint| endpoint.route(request.method()));
    let fault = route.and_then(|route| take_fault(&shared, route));

    let mut told = Told {
        shared: &shared,
        line,
        status: None,
    };
    let result = carry_out(&shared, alive, request, fault).await;
    told.status = result.as_ref().ok().map(|answer| answer.status().as_u16());
    result
}

/// Writes a request down when it is dealt with, also when the client did not
/// wait for that and the task is dropped.
struct Told<'a> {
    shared: &'a Shared,
    line: String,
    status: Option<u16>,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.line);
        let status = self.status;
        self.shared.note(None, What::Request { line, status });
    }
}

fn take_fault(shared: &Shared, route: Route) -> Option<Fault> {
    let faults = &mut shared.state().faults;
    let place = faults
        .iter()
        .position(|(of, _)| *of == route || *of == Route::Any)?;
    faults.remove(place).map(|(_, fault)| fault)
}

async fn carry_out(
    shared: &Arc<Shared>,
    alive: &Alive,
    request: hyper::Request<Incoming>,
    fault: Option<Fault>,
) -> io::Result<Response<Body>> {
    let request = match read(request).await? {
        Ok(request) => request,
        Err(reply) => return Ok(json(&reply)),
    };
    let act = || {
        let reply = api::answer(shared, &request);
        if let Some(begins) = &reply.begins {
            shared.begin(begins, alive);
        }
        reply
    };
    match fault {
        None => Ok(json(&act())),
        Some(Fault::TimeOutBefore) => never(shared).await,
        Some(Fault::TimeOutAfter) => {
            act();
            never(shared).await
        }
        Some(Fault::DropBefore) => Err(io::ErrorKind::ConnectionAborted.into()),
        Some(Fault::DropAfter) => {
            act();
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        Some(Fault::Status(status)) => Ok(json(&Reply::error(status, "Simulated fault"))),
        Some(Fault::NotJson(status)) => Ok(html(status, "<h1>Bad Gateway</h1>")),
        Some(Fault::CaptivePortal) => Ok(html(200, "<form>Accept the terms to go online</form>")),
        Some(Fault::Redirect(to)) => {
            let mut answer = html(302, "");
            let to = to.parse().map_err(io::Error::other)?;
            answer.headers_mut().insert(LOCATION, to);
            Ok(answer)
        }
        Some(Fault::Truncated) => Ok(truncated(&act())),
        Some(Fault::Oversized(bytes)) => {
            let mut reply = act();
            reply.body["padding"] = "x".repeat(bytes).into();
            Ok(json(&reply))
        }
        Some(Fault::AnotherOne) => {
            let mut reply = act();
            rename(&mut reply.body);
            Ok(json(&reply))
        }
        Some(Fault::Slow(time)) => {
            let reply = act();
            sleep(time).await;
            Ok(json(&reply))
        }
    }
}

/// Reads a request's body; a reply instead, when it is too large or too slow.
async fn read(request: hyper::Request<Incoming>) -> io::Result<Result<Request, Reply>> {
    let (parts, body) = request.into_parts();
    let whole = Limited::new(body, BODY_MAX).collect();
    let Ok(whole) = timeout(BODY_TIME_OUT, whole).await else {
        return Ok(Err(Reply::error(408, "Request body too slow")));
    };
    let body = match whole {
        Ok(body) => body.to_bytes().to_vec(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Ok(Err(Reply::error(413, "Request body too large")));
        }
        Err(error) => return Err(io::Error::other(error)),
    };
    Ok(Ok(Request {
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body,
    }))
}

/// Puts the id of a call nobody made into whatever has one.
fn rename(body: &mut serde_json::Value) {
    let items = match body {
        serde_json::Value::Array(items) => items.as_mut_slice(),
        one => std::slice::from_mut(one),
    };
    for item in items {
        for key in ["id", "call_id"] {
            if let Some(name) = item.get_mut(key) {
                *name = NOBODYS.into();
            }
        }
    }
}

/// Not answered before the client gives up, or the simulator stops.
async fn never(shared: &Shared) -> io::Result<Response<Body>> {
    stopped(&mut shared.stop.subscribe()).await;
    Err(io::ErrorKind::ConnectionAborted.into())
}

fn json(reply: &Reply) -> Response<Body> {
    let mut answer = whole(reply.status, "application/json", reply.body.to_string());
    for (name, value) in &reply.headers {
        let value = value.parse().expect("header values are numbers and words");
        answer.headers_mut().insert(*name, value);
    }
    answer
}

fn html(status: u16, content: &str) -> Response<Body> {
    let page = format!("<!DOCTYPE html><html><body>{content}</body></html>");
    whole(status, "text/html; charset=utf-8", page)
}

fn whole(status: u16, kind: &'static str, body: String) -> Response<Body> {
    let body = Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {});
    answer(status, kind, body.boxed_unsync())
}

fn truncated(reply: &Reply) -> Response<Body> {
    let body = reply.body.to_string();
    let length = body.len();
    let half = Bytes::from(body).slice(..length / 2);
    let body = stream::unfold(Some(half), |half| async {
        if let Some(half) = half {
            return Some((Ok(Frame::data(half)), None));
        }
        sleep(TRUNCATED_AFTER).await;
        Some((Err(io::ErrorKind::ConnectionAborted.into()), None))
    });
    let body = BodyExt::boxed_unsync(StreamBody::new(body));
    let mut answer = answer(reply.status, "application/json", body);
    answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    answer
}

fn answer(status: u16, kind: &'static str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let kind = hyper::header::HeaderValue::from_static(kind);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
