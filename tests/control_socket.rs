//! The control socket over a real Unix socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use callbox::edge::control::{Ask, CLIENTS, ControlSocket, NoAnswer, ask};
use callbox::trace::{Counter, Trace};
use callbox::wire::control::{REQUEST_MAX, Reply, Request};
use tokio::sync::mpsc;

struct Bench {
    path: PathBuf,
    trace: Arc<Trace>,
    asks: mpsc::Receiver<Ask>,
}

fn bench(name: &str) -> Bench {
    let path = std::env::temp_dir()
        .join(format!("callbox-control-{}-{name}", std::process::id()))
        .join("control.sock");
    let socket = ControlSocket::bind(&path, None).unwrap();
    let trace = Arc::new(Trace::default());
    let (tx, asks) = mpsc::channel(4);
    tokio::spawn(socket.serve(tx, Arc::clone(&trace)));
    Bench { path, trace, asks }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn a_question_gets_the_daemons_answer() {
    let mut bench = bench("answer");
    let path = bench.path.clone();
    let client = tokio::task::spawn_blocking(move || ask(&path, &Request::Status { trace: false }));
    let question = bench.asks.recv().await.unwrap();
    assert_eq!(question.request, Request::Status { trace: false });
    question
        .answer
        .send(Reply::Ok(serde_json::json!({"phase": "idle"})))
        .unwrap();
    assert_eq!(client.await.unwrap().unwrap()["phase"], "idle");
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_only() {
    use std::os::unix::fs::PermissionsExt;
    let bench = bench("mode");
    let mode = std::fs::metadata(&bench.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[tokio::test]
async fn nonsense_is_told_what_is_known() {
    let bench = bench("nonsense");
    let cases: [(&[u8], &str); 3] = [
        (b"GET / HTTP/1.1\r\n", "call, hangup, status and probe"),
        (
            b"{\"do\":\"open-door\"}\n",
            "call, hangup, status and probe",
        ),
        (&[b'x'; REQUEST_MAX + 1], "at most 1024 bytes"),
    ];
    for (bytes, want) in cases {
        let (path, bytes) = (bench.path.clone(), bytes.to_vec());
        let said = blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(&bytes).unwrap();
            let mut said = Vec::new();
            _ = stream.read_to_end(&mut said);
            String::from_utf8(said).unwrap()
        });
        let said = said.await;
        assert!(said.contains(want), "{said}");
    }
}

#[tokio::test]
async fn a_crowd_is_refused_and_counted() {
    let mut bench = bench("crowd");
    let path = bench.path.clone();
    let held: Vec<UnixStream> = blocking(move || {
        (0..=CLIENTS)
            .map(|_| UnixStream::connect(&path).unwrap())
            .collect()
    })
    .await;
    // The last one is closed without a word, which shows as an end of file.
    let mut last = held.last().unwrap().try_clone().unwrap();
    let read = blocking(move || last.read(&mut [0; 1]).unwrap()).await;
    assert_eq!(read, 0);
    assert_eq!(bench.trace.read(Counter::ControlRefused), 1);
    drop(held);
    assert!(bench.asks.try_recv().is_err());
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_a_dead_ones_socket_replaced() {
    let bench = bench("second");
    let said = ControlSocket::bind(&bench.path, None)
        .unwrap_err()
        .to_string();
    assert!(said.contains("callbox runs already"), "{said}");

    let dead = bench.path.with_file_name("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    assert!(dead.exists());
    ControlSocket::bind(&dead, None).unwrap();

    let file = bench.path.with_file_name("file.sock");
    std::fs::write(&file, "precious").unwrap();
    let said = ControlSocket::bind(&file, None).unwrap_err().to_string();
    assert!(said.contains("not a socket"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn without_a_daemon_the_client_says_how_to_start_one() {
    let said = ask(
        &std::env::temp_dir().join("no-callbox-here.sock"),
        &Request::Hangup,
    )
    .unwrap_err();
    assert!(matches!(said, NoAnswer::NotRunning(_)), "{said}");
    let said = said.to_string();
    assert!(said.contains("systemctl start callbox"), "{said}");
}

#[test]
fn an_unknown_group_says_how_to_make_it() {
    let path = std::env::temp_dir().join(format!("callbox-group-{}.sock", std::process::id()));
    let said = ControlSocket::bind(&path, Some("no-such-group-here"))
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("groupadd --system no-such-group-here"),
        "{said}"
    );
}
