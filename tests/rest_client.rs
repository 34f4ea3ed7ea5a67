//! The REST client against a server that follows a script, over real sockets.
//!
//! Nothing here waits for time to pass: the server says when a request has
//! arrived, and only then is tokio's clock stopped and moved on.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callbox::edge::rest::{ApiKey, Config, Rest, SetupError, Timeouts};
use callbox::trace::{Counter, Trace};
use callbox::units::{CallId, E164};
use callbox::wire::rest::{
    ApiError, BaseUrl, CallStatus, ConnectFault, IncomingAction, ListQuery, Next, NumberUpdate,
    Pair, Party, PhoneNumberId, PlaceOutcome, PlaceRequest, WsUrl, place_outcome,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;

const KEY: &str = "ApiKey_4711secret0815";
const ID: &str = "6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11";
const CALL: &str = r#"{"id":"c1","local_phone_number":"+4930123456","direction":"outbound",
    "remote_phone_number":"+4989654321","status":"initiated","is_blocked":false,
    "client_websocket_url":"wss://door.example/a/1f3b",
    "created_at":"2026-06-01T00:00:00Z","updated_at":"2026-06-01T00:00:00Z"}"#;

/// What the server does with the next request.
enum Step {
    /// Answers and keeps the connection.
    Answer(String),
    /// Answers and closes the connection.
    Last(String),
    /// Closes the connection without an answer.
    Drop,
    /// Says nothing, and keeps the connection.
    Silence,
    /// Answers with a body that never ends.
    Endless,
}

fn json(status: &str, body: &str) -> Step {
    Step::Answer(raw(status, "content-type: application/json\r\n", body))
}

fn raw(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

/// A request as the server saw it.
#[derive(Debug)]
struct Request {
    /// Connections are counted from 1 in the order they were accepted.
    connection: usize,
    head: String,
    body: String,
}

impl Request {
    fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

enum Event {
    Accepted,
    Request(Request),
    Closed,
}

struct Server {
    address: SocketAddr,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Server {
    async fn start(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::listen(steps, None).await
    }

    async fn listen(
        steps: impl IntoIterator<Item = Step>,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let steps = Arc::new(Mutex::new(steps.into_iter().collect::<VecDeque<_>>()));
        let (send, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for connection in 1..=usize::MAX {
                let (socket, _) = listener.accept().await.unwrap();
                let (steps, send, tls) = (steps.clone(), send.clone(), tls.clone());
                _ = send.send(Event::Accepted);
                tokio::spawn(async move {
                    match tls {
                        None => serve(socket, connection, &steps, &send).await,
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                serve(socket, connection, &steps, &send).await;
                            }
                        }
                    }
                    _ = send.send(Event::Closed);
                });
            }
        });
        Self { address, events }
    }

    fn base(&self) -> String {
        format!("http://{}/api/v1/phone", self.address)
    }

    fn client(&self) -> Rest {
        client(&self.base(), Timeouts::default())
    }

    /// Waits for what the script makes sure of.
    async fn accepted(&mut self) {
        while !matches!(self.events.recv().await.unwrap(), Event::Accepted) {}
    }

    async fn request(&mut self) -> Request {
        loop {
            if let Event::Request(request) = self.events.recv().await.unwrap() {
                return request;
            }
        }
    }

    async fn closed(&mut self) {
        while !matches!(self.events.recv().await.unwrap(), Event::Closed) {}
    }

    /// All requests that have arrived and were not yet looked at.
    fn requests(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if let Event::Request(request) = event {
                requests.push(request);
            }
        }
        requests
    }
}

async fn serve(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    steps: &Mutex<VecDeque<Step>>,
    send: &mpsc::UnboundedSender<Event>,
) {
    while let Some((head, body)) = read_request(&mut socket).await {
        _ = send.send(Event::Request(Request {
            connection,
            head,
            body,
        }));
        let step = steps.lock().unwrap().pop_front().unwrap_or(Step::Drop);
        match step {
            Step::Answer(bytes) => socket.write_all(bytes.as_bytes()).await.unwrap(),
            Step::Last(bytes) => {
                // A client that has seen enough may be gone before the end.
                _ = socket.write_all(bytes.as_bytes()).await;
                _ = socket.shutdown().await;
                return;
            }
            Step::Drop => return,
            Step::Silence => std::future::pending().await,
            Step::Endless => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                socket.write_all(head.as_bytes()).await.unwrap();
                let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
                while socket.write_all(chunk.as_bytes()).await.is_ok() {}
                return;
            }
        }
    }
}

async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head_end + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(bytes[head_end..].to_vec()).ok()?;
    Some((head, body))
}

fn config(base: &str, timeouts: Timeouts) -> Config {
    Config {
        base_url: BaseUrl::parse(base).unwrap(),
        api_key: ApiKey::parse(KEY).unwrap(),
        from_number: number("+4930123456"),
        phone_number_id: Some(PhoneNumberId::parse(ID).unwrap()),
        extra_ca: None,
        timeouts,
    }
}

fn client(base: &str, timeouts: Timeouts) -> Rest {
    Rest::new(config(base, timeouts), Arc::default()).unwrap()
}

fn counted(base: &str) -> (Rest, Arc<Trace>) {
    let trace = Arc::new(Trace::default());
    (
        Rest::new(config(base, Timeouts::default()), trace.clone()).unwrap(),
        trace,
    )
}

fn number(text: &str) -> E164 {
    E164::parse(text).unwrap()
}

fn press() -> PlaceRequest {
    PlaceRequest {
        from: number("+4930123456"),
        to: number("+4989654321"),
        client_websocket_url: Some(WsUrl::parse("wss://door.example/a/1f3b").unwrap()),
    }
}

async fn place(server: &Server) -> ApiError {
    server.client().place(&press()).await.unwrap_err()
}

fn place_in_background(rest: &Rest) -> tokio::task::JoinHandle<Result<(), ApiError>> {
    let rest = rest.clone();
    tokio::spawn(async move { rest.place(&press()).await.map(|_| ()) })
}

fn is_unknown(error: &ApiError) -> bool {
    matches!(place_outcome(Err(error.clone())), PlaceOutcome::Unknown(_))
}

/// Lets every task see what has already arrived at its socket: tokio looks at
/// the sockets after every 61 steps at the latest.
async fn settle() {
    for _ in 0..256 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn place_is_one_post_with_key_and_documented_body() {
    let mut server = Server::start([json("200 OK", CALL)]).await;
    let placed = server.client().place(&press()).await.unwrap();
    assert_eq!(
        (placed.call.id.as_str(), placed.call.status),
        ("c1", CallStatus::Initiated)
    );

    let requests = server.requests();
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(request.line(), "POST /api/v1/phone/place-call HTTP/1.1");
    assert_eq!(request.header("x-api-key"), Some(KEY));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("transfer-encoding"), None);
    let want = r#"{"from_number":"+4930123456","to_number":"+4989654321",
        "client_websocket_url":"wss://door.example/a/1f3b"}"#;
    assert_eq!(request.body, want.replace("\n        ", ""));
}

#[tokio::test]
async fn list_get_and_hang_up_ask_the_documented_paths() {
    let page = format!("[{CALL},{CALL}]");
    let steps = [
        json("200 OK", &page),
        json("200 OK", CALL),
        json("200 OK", CALL),
    ];
    let mut server = Server::start(steps).await;
    let rest = server.client();
    let id = CallId::parse("c1").unwrap();

    let query = ListQuery::new(2, 4, Some(true)).unwrap();
    assert_eq!(rest.list(&query).await.unwrap().calls.len(), 2);
    assert_eq!(rest.get(&id).await.unwrap().id, id);
    assert_eq!(rest.hang_up(&id).await.unwrap().id, id);

    let requests = server.requests();
    let lines: Vec<_> = requests.iter().map(Request::line).collect();
    let calls = format!("GET /api/v1/phone/numbers/{ID}/calls");
    let want = [
        &format!("{calls}?limit=2&offset=4&is_blocked=true HTTP/1.1"),
        &format!("{calls}/c1 HTTP/1.1"),
        "POST /api/v1/phone/calls/c1/hangup HTTP/1.1",
    ];
    assert_eq!(lines, want);
    assert!(
        requests
            .iter()
            .all(|request| request.header("x-api-key") == Some(KEY))
    );
}

const NUMBER: &str = r#"{"id":"6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11","number":"+4930123456",
    "type":"local","status":"active","sms_status":"ready","incoming_call_action":"auto_reject",
    "client_websocket_url":null,"filter_mode":"blacklist",
    "created_at":"2026-06-01T00:00:00Z","updated_at":"2026-06-01T00:00:00Z"}"#;
const OTHER: &str = r#"{"id":"00000000-0000-4000-8000-000000000002","number":"+4930999999",
    "incoming_call_action":"hosted_agent"}"#;

/// A client that was not told the number's id.
fn nameless(server: &Server) -> Rest {
    let config = Config {
        phone_number_id: None,
        ..config(&server.base(), Timeouts::default())
    };
    Rest::new(config, Arc::default()).unwrap()
}

#[tokio::test]
async fn numbers_are_listed_read_and_set() {
    let accepting = NUMBER.replace("auto_reject", "auto_accept");
    let steps = [
        json("200 OK", &format!("[{NUMBER},{OTHER}]")),
        json("200 OK", NUMBER),
        json("200 OK", &accepting),
        json("200 OK", NUMBER),
    ];
    let mut server = Server::start(steps).await;
    let rest = server.client();
    let numbers = rest.numbers().await.unwrap();
    let actions = numbers.iter().map(|n| n.incoming_call_action.clone());
    let want = [
        IncomingAction::AutoReject,
        IncomingAction::Other("hosted_agent".into()),
    ];
    assert_eq!(actions.collect::<Option<Vec<_>>>().unwrap(), want);
    assert_eq!(rest.number().await.unwrap(), numbers[0]);

    let url = WsUrl::parse("wss://door.example/inbound/secret").unwrap();
    let accept = NumberUpdate::for_inbound(Some(url));
    let set = rest.update_number(&accept).await.unwrap();
    assert_eq!(set.incoming_call_action, Some(IncomingAction::AutoAccept));
    // It says so, but the address is not there.
    assert!(!accept.is_done(&set));
    let refuse = NumberUpdate::for_inbound(None);
    assert!(refuse.is_done(&rest.update_number(&refuse).await.unwrap()));

    let requests = server.requests();
    let lines: Vec<_> = requests.iter().map(Request::line).collect();
    let number = format!("/api/v1/phone/numbers/{ID} HTTP/1.1");
    let want = [
        "GET /api/v1/phone/numbers HTTP/1.1".to_owned(),
        format!("GET {number}"),
        format!("PATCH {number}"),
        format!("PATCH {number}"),
    ];
    assert_eq!(lines, want);
    assert_eq!(
        requests[2].body,
        r#"{"incoming_call_action":"auto_accept","client_websocket_url":"wss://door.example/inbound/secret"}"#
    );
    assert_eq!(
        requests[3].body,
        r#"{"incoming_call_action":"auto_reject"}"#
    );
    assert_eq!(requests[2].header("content-type"), Some("application/json"));
    assert!(requests.iter().all(|r| r.header("x-api-key") == Some(KEY)));
}

#[tokio::test]
async fn the_numbers_id_is_found_once_and_kept() {
    let steps = [
        json("200 OK", &format!(r#"{{"numbers":[{OTHER},{NUMBER}]}}"#)),
        json("200 OK", "[]"),
        json("200 OK", "[]"),
    ];
    let mut server = Server::start(steps).await;
    let rest = nameless(&server);
    rest.list(&ListQuery::newest()).await.unwrap();
    rest.list(&ListQuery::newest()).await.unwrap();
    let requests = server.requests();
    let lines: Vec<_> = requests.iter().map(Request::line).collect();
    let list = format!("GET /api/v1/phone/numbers/{ID}/calls?limit=1&offset=0 HTTP/1.1");
    assert_eq!(lines, ["GET /api/v1/phone/numbers HTTP/1.1", &list, &list]);
}

#[tokio::test]
async fn warming_finds_the_numbers_id_on_the_line_of_the_press() {
    let steps = [
        json("200 OK", &format!("[{NUMBER}]")),
        json("200 OK", CALL),
        json("200 OK", "[]"),
    ];
    let mut server = Server::start(steps).await;
    let rest = nameless(&server);
    assert_eq!(rest.warm().await, Ok(true));
    rest.place(&press()).await.unwrap();
    rest.list(&ListQuery::newest()).await.unwrap();
    let requests = server.requests();
    let seen: Vec<_> = requests.iter().map(|r| (r.connection, r.line())).collect();
    assert_eq!(seen[0], (1, "GET /api/v1/phone/numbers HTTP/1.1"));
    assert_eq!(seen[1], (1, "POST /api/v1/phone/place-call HTTP/1.1"));
    assert!(
        seen[2].1.contains(&format!("/numbers/{ID}/calls")),
        "{seen:?}"
    );
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn a_number_that_is_not_the_accounts_is_named_and_looked_for_again() {
    let steps = [
        json("200 OK", &format!("[{OTHER}]")),
        json("200 OK", &format!("[{OTHER},{NUMBER}]")),
        json("200 OK", "[]"),
    ];
    let rest = nameless(&Server::start(steps).await);
    let error = rest.list(&ListQuery::newest()).await.unwrap_err();
    assert_eq!(error.next(), Next::FixSetup);
    assert_eq!(
        error.to_string(),
        "from_number +…456 is none of the 1 numbers this API key shows. Check from_number, and \
         which organization the key is from"
    );
    rest.list(&ListQuery::newest()).await.unwrap();
}

#[tokio::test]
async fn a_transcript_is_read_from_the_newer_path_or_the_older() {
    let segments = r#"[
        {"id":"x","call_id":"c1","seq":1,"ts_ms":900,"party":"agent","text":"Hello!\u001b"},
        {"id":"y","call_id":"c1","seq":0,"ts_ms":0,"party":"remote","text":"Hi","new":true},
        {"seq":"?"}]"#;
    let absent = || json("404 Not Found", r#"{"detail":"Not Found"}"#);
    let steps = [
        json("200 OK", segments),
        absent(),
        json("200 OK", segments),
        absent(),
        absent(),
        json("404 Not Found", r#"{"detail":"Call not found"}"#),
    ];
    let mut server = Server::start(steps).await;
    let rest = server.client();
    let id = CallId::parse("c1").unwrap();
    let newer = rest.transcripts(&id).await.unwrap();
    let said: Vec<_> = newer.iter().map(|s| (s.at_ms, s.text.as_str())).collect();
    assert_eq!(said, [(0, "Hi"), (900, "Hello! ")]);
    assert_eq!(newer[0].party, Party::Remote);
    assert_eq!(rest.transcripts(&id).await.unwrap(), newer);
    assert_eq!(rest.transcripts(&id).await, Err(ApiError::Unsupported));
    let unknown = rest.transcripts(&id).await;
    assert!(matches!(unknown, Err(ApiError::NotFound(_))), "{unknown:?}");
    let requests = server.requests();
    let lines: Vec<_> = requests.iter().map(Request::line).collect();
    let newer = "GET /api/v1/phone/calls/c1/transcripts HTTP/1.1";
    let older = format!("GET /api/v1/phone/numbers/{ID}/calls/c1/transcripts HTTP/1.1");
    assert_eq!(lines, [newer, newer, &older, newer, &older, newer]);
}

#[tokio::test]
async fn answers_about_somebody_elses_call_or_number_are_refused() {
    let theirs = r#"[{"call_id":"c9","seq":0,"ts_ms":0,"party":"remote","text":"secret"}]"#;
    let steps = [
        json("200 OK", &CALL.replace("\"c1\"", "\"c9\"")),
        json("200 OK", &CALL.replace("\"c1\"", "\"c9\"")),
        json("200 OK", theirs),
        json("200 OK", OTHER),
        json("200 OK", OTHER),
    ];
    let server = Server::start(steps).await;
    let (rest, trace) = counted(&server.base());
    let id = CallId::parse("c1").unwrap();
    assert_eq!(rest.get(&id).await, Err(ApiError::OtherThan("call")));
    assert_eq!(rest.hang_up(&id).await, Err(ApiError::OtherThan("call")));
    assert_eq!(
        rest.transcripts(&id).await,
        Err(ApiError::OtherThan("call"))
    );
    assert_eq!(rest.number().await, Err(ApiError::OtherThan("number")));
    let update = rest.update_number(&NumberUpdate::for_inbound(None)).await;
    assert_eq!(update, Err(ApiError::OtherThan("number")));
    assert_eq!(trace.read(Counter::RestMalformed), 5);
}

#[tokio::test]
async fn a_list_of_numbers_without_end_is_not_read_to_it() {
    let steps = [Step::Endless, Step::Endless];
    let server = Server::start(steps).await;
    let error = server.client().numbers().await.unwrap_err();
    assert!(matches!(error, ApiError::Oversized { .. }), "{error:?}");
    let id = CallId::parse("c1").unwrap();
    let error = server.client().transcripts(&id).await.unwrap_err();
    assert!(matches!(error, ApiError::Oversized { .. }), "{error:?}");
}

#[tokio::test]
async fn a_call_of_somebody_else_and_one_nobody_knows_are_told_apart() {
    let detail = |text: &str| format!(r#"{{"detail":"{text}"}}"#);
    let theirs = detail("Call does not belong to your organization");
    let steps = [
        json("403 Forbidden", &theirs),
        json("404 Not Found", &detail("Call not found")),
    ];
    let rest = Server::start(steps).await.client();
    let id = CallId::parse("c1").unwrap();
    let error = rest.get(&id).await.unwrap_err();
    assert!(matches!(error, ApiError::NotYours(_)), "{error:?}");
    assert!(
        error.to_string().contains("another organization"),
        "{error}"
    );
    let error = rest.get(&id).await.unwrap_err();
    assert!(matches!(error, ApiError::NotFound(_)), "{error:?}");
    assert!(error.to_string().contains("Call not found"), "{error}");
}

#[tokio::test]
async fn an_older_service_cannot_hang_up_over_rest() {
    let steps = [
        json("404 Not Found", r#"{"detail":"Not Found"}"#),
        json("409 Conflict", r#"{"detail":"Call already ended"}"#),
    ];
    let rest = Server::start(steps).await.client();
    let id = CallId::parse("c1").unwrap();
    assert_eq!(rest.hang_up(&id).await, Err(ApiError::Unsupported));
    assert_eq!(rest.hang_up(&id).await.unwrap_err().next(), Next::LookUp);
}

#[tokio::test]
async fn a_used_up_quota_says_when_to_come_back() {
    let headers = "retry-after: 5400\r\nx-ratelimit-limit: 100\r\nx-ratelimit-remaining: 0\r\n\
                   x-ratelimit-reset: 1780272000\r\n";
    let answer = raw(
        "429 Too Many Requests",
        headers,
        r#"{"detail":"limit exceeded"}"#,
    );
    let error = place(&Server::start([Step::Answer(answer)]).await).await;
    assert_eq!(error.next(), Next::Wait(Some(Duration::from_secs(5400))));
    assert_eq!(
        error.to_string(),
        "the organization's calls or minutes of the last 24 hours are used up: limit exceeded \
         (limit 100, 0 left). Try again in 90 min"
    );
    assert!(!is_unknown(&error));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [
        "301 Moved",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let away = raw(status, "location: http://127.0.0.1:1/login\r\n", "");
        let mut server = Server::start([Step::Answer(away)]).await;
        let error = place(&server).await;
        assert_eq!(
            error.to_string(),
            "the answer sends us to 127.0.0.1:1, and redirects are not followed. Check the base \
             URL; a guest network's login page does this too"
        );
        assert!(!is_unknown(&error));
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_guest_networks_login_page_is_named() {
    let page = "<!DOCTYPE html><title>Welcome</title>";
    let answer = raw("200 OK", "content-type: text/html\r\n", page);
    let error = place(&Server::start([Step::Answer(answer)]).await).await;
    assert_eq!(
        error.to_string(),
        "a good status came with a web page where the service sends JSON. Check the base URL, and \
         that no guest network's login page or filter answers in the service's place"
    );
    assert_eq!(error.next(), Next::CheckNetwork);
    assert!(is_unknown(&error));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_unknown_and_counted() {
    let half = CALL.len() / 2;
    let cut = raw("200 OK", "", CALL).replace(&CALL[half..], "");
    let server = Server::start([Step::Last(cut)]).await;
    let (rest, trace) = counted(&server.base());
    let error = rest.place(&press()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the answer broke off. Check the network, then try again"
    );
    assert!(is_unknown(&error));
    assert_eq!(trace.read(Counter::RestMalformed), 1);
}

#[tokio::test]
async fn ten_megabytes_are_not_read() {
    let big = raw("200 OK", "", &" ".repeat(10 << 20));
    for step in [Step::Last(big), Step::Endless] {
        let server = Server::start([step, Step::Endless]).await;
        let (rest, trace) = counted(&server.base());
        let error = rest.place(&press()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the answer is longer than 65536 bytes and was not read. Check the base URL; ask for \
             fewer calls at once"
        );
        assert!(is_unknown(&error));
        let error = rest.list(&ListQuery::default()).await.unwrap_err();
        assert_eq!(error, ApiError::Oversized { limit: 1 << 20 });
        assert_eq!(trace.read(Counter::RestOversized), 2);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_unknown() {
    let mut server = Server::start([Step::Silence]).await;
    let (rest, trace) = counted(&server.base());
    let placing = place_in_background(&rest);
    server.request().await;
    tokio::time::pause();
    let error = placing.await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "no answer within 15 s. Check the network, and whether the service has a fault"
    );
    assert!(is_unknown(&error), "{error:?}");
    assert_eq!(trace.read(Counter::RestTimeouts), 1);
}

#[tokio::test]
async fn a_body_that_stalls_runs_into_the_same_time_out() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned();
    let mut server = Server::start([Step::Answer(head)]).await;
    let placing = place_in_background(&server.client());
    server.request().await;
    settle().await;
    tokio::time::pause();
    let error = placing.await.unwrap().unwrap_err();
    assert_eq!(
        error,
        ApiError::TimedOut {
            after: Duration::from_secs(15),
            sent: true
        }
    );
}

#[tokio::test]
async fn a_connection_lost_after_the_request_is_unknown() {
    let mut server = Server::start([Step::Drop]).await;
    let error = place(&server).await;
    assert!(
        matches!(error, ApiError::Lost { sent: true, .. }),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "no answer that can be read (connection closed before message completed). Check the \
         network and the base URL"
    );
    assert!(is_unknown(&error));
    assert_eq!(server.requests().len(), 1, "never sent twice");
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_unknown() {
    let error = place(&Server::start([Step::Last("SSH-2.0-box\r\n".to_owned())]).await).await;
    assert!(is_unknown(&error), "{error:?}");
    assert_eq!(
        error.to_string(),
        "no answer that can be read (invalid HTTP version parsed). Check the network and the base \
         URL"
    );
}

#[tokio::test]
async fn where_nobody_listens_there_is_no_call() {
    // Bound and never listening: nobody else can take the port meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base = format!("http://{}", socket.local_addr().unwrap());
    let error = client(&base, Timeouts::default())
        .place(&press())
        .await
        .unwrap_err();
    assert_eq!(error, ApiError::Unreachable(ConnectFault::Refused));
    assert_eq!(
        error.to_string(),
        "nothing answers at the service's address. Check the base URL and the network"
    );
    assert!(!is_unknown(&error));
}

#[tokio::test]
async fn a_name_nobody_knows_is_no_call() {
    // No resolver may find this name (RFC 6761 §6.4); where none answers, it
    // takes its time to say so.
    let timeouts = Timeouts {
        connect: Duration::from_secs(60),
        place: Duration::from_secs(60),
        ..Timeouts::default()
    };
    let rest = client("https://nobody.invalid", timeouts);
    let error = rest.place(&press()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the service's name was not found. Check the network, the name server and the base URL"
    );
    assert!(!is_unknown(&error));
}

#[tokio::test]
async fn a_handshake_that_hangs_is_no_call() {
    let cases = [
        (5, "no connection within 5 s. Check the network"),
        (
            60,
            "no answer within 15 s. Check the network, and whether the service has a fault",
        ),
    ];
    for (seconds, message) in cases {
        // The server speaks plain HTTP, and waits for us as we do for it.
        let mut server = Server::start([]).await;
        let base = server.base().replace("http:", "https:");
        let connect = Duration::from_secs(seconds);
        let rest = client(
            &base,
            Timeouts {
                connect,
                ..Timeouts::default()
            },
        );
        let placing = place_in_background(&rest);
        server.accepted().await;
        settle().await;
        tokio::time::pause();
        let error = placing.await.unwrap().unwrap_err();
        tokio::time::resume();
        assert_eq!(error.to_string(), message);
        assert!(!is_unknown(&error), "{error:?}");
    }
}

#[tokio::test]
async fn what_does_not_speak_tls_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        _ = socket.read(&mut [0; 4096]).await;
        std::future::pending::<()>().await;
    });
    let error = client(&base, Timeouts::default())
        .place(&press())
        .await
        .unwrap_err();
    assert_eq!(error, ApiError::Unreachable(ConnectFault::NotTls));
    assert!(!is_unknown(&error));
}

#[tokio::test]
async fn a_press_finds_the_warm_connection_while_others_poll() {
    let page = || json("200 OK", "[]");
    let mut server = Server::start([page(), page(), json("200 OK", CALL), page()]).await;
    let rest = server.client();
    rest.warm().await.unwrap();
    rest.list(&ListQuery::default()).await.unwrap();
    rest.place(&press()).await.unwrap();
    rest.list(&ListQuery::default()).await.unwrap();
    let connections: Vec<_> = server.requests().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [1, 2, 1, 2]);
}

#[tokio::test]
async fn warming_is_done_once() {
    let page = || json("200 OK", "[]");
    let mut server = Server::start([page(), page()]).await;
    let rest = server.client();
    let (one, two) = tokio::join!(rest.warm(), rest.warm());
    assert_eq!((one.unwrap(), two.unwrap()), (true, false));
    assert!(rest.warm().await.unwrap());
    let requests = server.requests();
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    let path = format!("GET /api/v1/phone/numbers/{ID}/calls?limit=1&offset=0 HTTP/1.1");
    assert_eq!(request.line(), path);

    rest.keep_warm().await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_place_under_way_is_not_disturbed_by_warming() {
    let mut server = Server::start([Step::Silence]).await;
    let rest = server.client();
    let placing = place_in_background(&rest);
    server.request().await;
    assert!(!rest.warm().await.unwrap(), "nothing was found out");
    assert!(!rest.keep_warm().await.unwrap(), "nothing was found out");
    assert_eq!(server.requests().len(), 0);
    placing.abort();
}

#[tokio::test]
async fn a_press_does_not_wait_for_a_warming_under_way() {
    let mut server = Server::start([Step::Silence, json("200 OK", CALL)]).await;
    let rest = server.client();
    let warming = tokio::spawn({
        let rest = rest.clone();
        async move { rest.warm().await }
    });
    assert_eq!(server.request().await.connection, 1);
    rest.place(&press()).await.unwrap();
    assert_eq!(server.request().await.connection, 2);
    warming.abort();
}

#[tokio::test]
async fn a_connection_the_service_closes_is_opened_again_by_the_first_edge() {
    let closing = raw("200 OK", "connection: close\r\n", "[]");
    let mut server = Server::start([Step::Last(closing), json("200 OK", "[]")]).await;
    let rest = server.client();
    rest.warm().await.unwrap();
    rest.warm().await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_kept_connection_found_closed_costs_no_second_post() {
    let steps = [Step::Last(raw("200 OK", "", "[]")), json("200 OK", CALL)];
    let mut server = Server::start(steps).await;
    let rest = server.client();
    rest.warm().await.unwrap();
    server.closed().await;
    settle().await;
    rest.place(&press()).await.unwrap();
    let requests = server.requests();
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(
        (request.connection, request.line().starts_with("POST")),
        (2, true)
    );
}

#[tokio::test]
async fn a_place_that_is_dropped_leaves_no_connection_to_trust() {
    let page = || json("200 OK", "[]");
    let mut server = Server::start([page(), Step::Silence, page()]).await;
    let rest = server.client();
    rest.warm().await.unwrap();
    let placing = place_in_background(&rest);
    server.request().await;
    server.request().await;
    placing.abort();
    assert!(placing.await.unwrap_err().is_cancelled());
    rest.warm().await.unwrap();
    let requests = server.requests();
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(
        (request.connection, request.line().starts_with("GET")),
        (2, true)
    );
}

#[tokio::test]
async fn the_services_clock_is_noted_from_good_and_bad_answers() {
    let date = |at: &str| format!("date: Mon, 01 Jun 2026 00:00:{at} GMT\r\n");
    let steps = [
        Step::Answer(raw("200 OK", &date("01"), "[]")),
        Step::Answer(raw("401 Unauthorized", &date("02"), r#"{"detail":"no"}"#)),
        json("200 OK", "[]"),
    ];
    let server = Server::start(steps).await;
    let rest = server.client();
    assert_eq!(rest.service_time(), None);
    for want in [1, 2, 2] {
        _ = rest.list(&ListQuery::default()).await;
        assert_eq!(
            rest.service_time().unwrap().unix_ms() / 1000,
            1_780_272_000 + want
        );
    }
}

#[tokio::test]
async fn a_wrong_phone_number_id_is_found() {
    let page = format!("[{CALL}]");
    let server = Server::start([json("200 OK", &page), json("200 OK", &page)]).await;
    let rest = server.client();
    let ours = number("+4930123456");
    let other = number("+4930999999");
    assert_eq!(rest.check_pair(&ours).await.unwrap(), Pair::Right);
    assert_eq!(
        rest.check_pair(&other).await.unwrap(),
        Pair::Wrong { listed: ours }
    );
}

#[tokio::test]
async fn the_key_is_never_shown() {
    let echo = format!(r#"{{"detail":"key {KEY} is not valid"}}"#);
    let server = Server::start([json("401 Unauthorized", &echo)]).await;
    let config = config(&server.base(), Timeouts::default());
    let mut shown = format!("{config:?}");
    let rest = Rest::new(config, Arc::default()).unwrap();
    let error = rest.place(&press()).await.unwrap_err();
    shown += &format!("{rest:?} {error:?} {error} {:?}", press());
    assert!(shown.contains("is not valid"), "{shown}");
    for part in [KEY, "4711secret", "4989654321", "1f3b"] {
        assert!(!shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn a_key_that_cannot_be_one_is_refused() {
    for bad in ["", "two words", "k\u{e9}y", &"k".repeat(513)] {
        let message = ApiKey::parse(bad).unwrap_err().to_string();
        assert_eq!(
            message,
            "an API key is one word of at most 512 visible characters; copy it again from the \
             console"
        );
    }
    assert!(ApiKey::parse(" key\n").is_ok());
}

/// A folder of its own for a test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("callbox-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn an_own_authority_is_trusted_only_when_it_is_named() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let server = Server::listen([json("200 OK", CALL)], Some(acceptor)).await;
    let base = server.base().replace("http:", "https:");

    let error = client(&base, Timeouts::default())
        .place(&press())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the service could not prove who it is (UnknownIssuer). Check the clock, the base URL, \
         and that no guest network or filter stands between"
    );
    assert!(!is_unknown(&error));

    let folder = Folder::new("authority");
    let mut config = config(&base, Timeouts::default());
    config.extra_ca = Some(folder.file("ca.pem", &made.cert.pem()));
    let rest = Rest::new(config, Arc::default()).unwrap();
    assert_eq!(rest.place(&press()).await.unwrap().call.id.as_str(), "c1");
}

#[test]
fn a_useless_authority_file_is_named() {
    let folder = Folder::new("authorities");
    let new = |path: PathBuf| {
        let mut config = config("https://inkbox.ai", Timeouts::default());
        config.extra_ca = Some(path.clone());
        let error: SetupError = Rest::new(config, Arc::default()).unwrap_err();
        error
            .to_string()
            .replace(&path.display().to_string(), "FILE")
    };
    let missing = new(folder.0.join("missing.pem"));
    assert_eq!(missing, "cannot read the certificate authorities in FILE");
    let empty = new(folder.file("empty.pem", "hello"));
    assert_eq!(
        empty,
        "FILE holds no certificate: it must have BEGIN CERTIFICATE lines (PEM)"
    );
    let pem = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let broken = new(folder.file("broken.pem", pem));
    assert!(
        broken.starts_with("FILE holds a certificate that cannot be used ("),
        "{broken}"
    );
}
