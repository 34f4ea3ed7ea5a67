//! `callbox calls` on a real file, beside a store that is open, and against a
//! service on this machine.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, mpsc};

use callbox::cli::calls::{Arguments, Failure, Surroundings, run};
use callbox::edge::clock::Stamp;
use callbox::edge::rest::{ApiKey, Config, Rest, Timeouts};
use callbox::edge::store::{self, Row};
use callbox::trace::Trace;
use callbox::units::{CallId, E164};
use callbox::wire::rest::{BaseUrl, PhoneNumberId};
use clap::Parser;
use serde_json::{Value, json};

use crate::support::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    calls: Arguments,
}

pub(crate) fn arguments(line: &str) -> Result<Arguments, clap::Error> {
    let words = std::iter::once("calls").chain(line.split(' '));
    Ok(Line::try_parse_from(words)?.calls)
}

/// What `callbox calls` with `line` behind it prints, on a terminal of
/// eighty columns.
pub(crate) fn calls(line: &str, database: &Path) -> Result<String, Failure> {
    calls_at(line, database, 80, &mut || panic!("nobody follows"))
}

/// The same on a terminal of `width`, where `pause` is the wait of `--follow`.
pub(crate) fn calls_at(
    line: &str,
    database: &Path,
    width: usize,
    pause: &mut dyn FnMut() -> bool,
) -> Result<String, Failure> {
    let no_service = || panic!("a local command asked the service");
    let mut out = Vec::new();
    let arguments = arguments(line).unwrap();
    run_at(&arguments, database, width, pause, no_service, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

pub(crate) fn run_at(
    arguments: &Arguments,
    database: &Path,
    width: usize,
    pause: &mut dyn FnMut() -> bool,
    connect: impl FnOnce() -> Result<Rest, Box<dyn std::error::Error>>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let now: jiff::Timestamp = "2026-11-22T16:00:00Z".parse().unwrap();
    let around = Surroundings {
        store: &store::Config::new(database),
        buttons: &["front".to_owned(), "gate".to_owned()],
        doors: &["front door".to_owned()],
        now: now.to_zoned(jiff::tz::TimeZone::UTC),
        width,
        pause,
    };
    run(arguments, around, connect, out).map(|_| ())
}

pub(crate) fn pressed(text: &str) -> Option<Stamp> {
    Some(Stamp::parse(text).unwrap())
}

/// A call that was answered, one that was refused, one that never left the
/// device, and one that is up.
pub(crate) fn four_calls() -> (Folder, callbox::edge::store::StoreHandle) {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    let number = |text| Some(E164::parse(text).unwrap());
    let answered = Row {
        button: Some(0),
        to_number: number("+4930123456"),
        call_id: CallId::parse("6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11"),
        clock_trusted: Some(true),
        pressed_at: pressed("2026-11-22T14:49:02.250Z"),
        sent_at: pressed("2026-11-22T14:49:02.254Z"),
        talk_ms: Some(92_400),
        service_status: Some("completed".into()),
        service_hangup_reason: Some("remote".into()),
        closed: Some(true),
        ..Row::new(token(0xa1))
    };
    let refused = Row {
        button: Some(1),
        to_number: number("+4930123789"),
        clock_trusted: Some(false),
        pressed_at: pressed("2026-11-22T14:55:00Z"),
        http_status: Some(429),
        http_error: Some(
            "100 calls, \"today\",\u{1b}[31m are used up for your organization".into(),
        ),
        closed: Some(true),
        ..Row::new(token(0xb2))
    };
    let never_sent = Row {
        local_reason: Some("daily limit of this device".into()),
        closed: Some(true),
        ..Row::new(token(0xb3))
    };
    let up = Row {
        button: Some(0),
        ..Row::new(token(0xc4))
    };
    for row in [answered, refused, never_sent, up] {
        record(&store, row);
    }
    (folder, store)
}

#[test]
fn the_list_fits_a_terminal_and_masks_numbers() {
    let (folder, _store) = four_calls();
    let shown = calls("list", &folder.database()).unwrap();
    let want = "\
ID        PRESSED (UTC)      BUTTON  WITH   OUTCOME   TALK  WHY
000000c4  -                  front   -      open      -     -
000000b3  -                  -       -      limited   -     daily limit of this…
000000b2  2026-11-22 14:55?  gate    +…789  refused   -     100 calls, \"today\",…
000000a1  2026-11-22 14:49   front   +…456  answered  1:32  remote
";
    assert_eq!(shown, want);
    assert!(shown.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn numbers_are_whole_on_demand() {
    let (folder, _store) = four_calls();
    for line in [
        "list",
        "list --json",
        "show 000000a1",
        "export",
        "export --csv",
    ] {
        let masked = calls(line, &folder.database()).unwrap();
        assert!(!masked.contains("4930123456"), "{line}: {masked}");
        let whole = calls(&format!("{line} --numbers"), &folder.database()).unwrap();
        assert!(whole.contains("+4930123456"), "{line}: {whole}");
    }
}

#[test]
fn the_list_is_paged() {
    let (folder, _store) = four_calls();
    let shown = calls("list --limit 1 --offset 2", &folder.database()).unwrap();
    assert_eq!(shown.lines().count(), 2);
    assert!(
        shown.lines().nth(1).unwrap().starts_with("000000b2"),
        "{shown}"
    );
    let shown = calls("list --offset 4", &folder.database()).unwrap();
    assert_eq!(shown, "no calls beyond this offset\n");
}

#[test]
fn an_empty_record_says_so() {
    let folder = Folder::new();
    let (_store, _) = open_at(&folder.database());
    assert_eq!(
        calls("list", &folder.database()).unwrap(),
        "no calls on record\n"
    );
    assert_eq!(calls("list --json", &folder.database()).unwrap(), "");
    let shown = calls("list --number 456", &folder.database()).unwrap();
    assert_eq!(shown, "no call on record is like that\n");
    assert_eq!(calls("export", &folder.database()).unwrap(), "");
    let csv = calls("export --csv", &folder.database()).unwrap();
    assert!(csv.starts_with("token,client_websocket_url,direction,") && csv.lines().count() == 1);
}

#[test]
fn json_has_every_fact_and_null_for_what_is_not_known() {
    let (folder, _store) = four_calls();
    let list = calls("list --json", &folder.database()).unwrap();
    let list: Vec<Value> = list
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(list.len(), 4);
    assert_eq!(list[3]["pressed_at"], "2026-11-22T14:49:02.250Z");
    assert_eq!(list[3]["talk_ms"], 92_400);
    assert_eq!(list[3]["concealed_ms"], Value::Null);
    let shown = calls("show --json 6f2c9f0e", &folder.database()).unwrap();
    let mut shown: Value = serde_json::from_str(&shown).unwrap();
    let beside = shown.as_object_mut().unwrap();
    assert_eq!(beside.remove("opened"), Some(json!([])));
    assert_eq!(beside.remove("transcript"), Some(json!([])));
    assert_eq!(shown, list[3]);
}

#[test]
fn a_servers_words_do_not_steer_the_terminal() {
    let (folder, _store) = four_calls();
    for line in ["list", "show 000000b2", "export --csv", "export"] {
        let shown = calls(line, &folder.database()).unwrap();
        assert!(!shown.contains('\u{1b}'), "{line}: {shown:?}");
    }
}

#[test]
fn an_id_that_fits_none_or_several_is_said() {
    let (folder, _store) = four_calls();
    let told = |id: &str| {
        let mut arguments = vec!["calls", "show"];
        arguments.push(id);
        let arguments = Line::try_parse_from(arguments).unwrap().calls;
        let no_service = || panic!("a local command asked the service");
        let database = folder.database();
        run_at(
            &arguments,
            &database,
            80,
            &mut || false,
            no_service,
            &mut io::sink(),
        )
        .unwrap_err()
        .to_string()
    };
    assert_eq!(
        told("beef"),
        "no call on record begins with \"beef\": `callbox calls list` shows the ids"
    );
    assert_eq!(
        told("000000b"),
        "\"000000b\" fits more than one call: 000000b3, 000000b2"
    );
    assert!(told("").starts_with("no call on record begins with \"\""));
}

#[test]
fn an_export_is_oldest_first_and_spreadsheets_can_read_it() {
    let (folder, _store) = four_calls();
    let lines = calls("export --json", &folder.database()).unwrap();
    let tokens: Vec<String> = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["token"]
                .as_str()
                .unwrap()
                .into()
        })
        .collect();
    assert_eq!(tokens, [0xa1, 0xb2, 0xb3, 0xc4].map(token));

    let csv = calls("export --csv", &folder.database()).unwrap();
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 5);
    let quoted = "\"100 calls, \"\"today\"\",\u{fffd}[31m are used up for your organization\"";
    assert!(lines[2].contains(quoted), "{}", lines[2]);
}

#[test]
fn a_record_that_is_not_there_is_said() {
    let folder = Folder::new();
    for line in ["list", "show 1", "export"] {
        let told = calls(line, &folder.database()).unwrap_err().to_string();
        assert!(
            told.contains("the daemon makes the file at its first start"),
            "{told}"
        );
    }
}

#[test]
fn wrong_arguments_are_said() {
    for (line, want) in [
        ("list --limit 0", "0 is not in 1..=10000"),
        ("list --blocked true", "--remote"),
        ("export --json --csv", "cannot be used with"),
        ("list --remote --blocked maybe", "true, false"),
        ("show", "<ID>"),
    ] {
        let told = arguments(line).unwrap_err().to_string();
        assert!(told.contains(want), "{line}: {told}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (folder, _store) = four_calls();
    for line in [
        "list",
        "list --json",
        "list --follow",
        "show 000000a1",
        "export",
    ] {
        let no_service = || panic!("a local command asked the service");
        let arguments = arguments(line).unwrap();
        let mut pause = || panic!("{line} goes on without a reader");
        run_at(
            &arguments,
            &folder.database(),
            80,
            &mut pause,
            no_service,
            &mut Closed,
        )
        .unwrap();
    }
}

/// A service that answers each request for `path` with `answer(path)`, null
/// with 404, and tells which paths were asked for.
pub(crate) fn service(
    answer: impl Fn(&str) -> Value + Send + 'static,
) -> (BaseUrl, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = BaseUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (asked, paths) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = head.next().unwrap().unwrap();
            let path = request.split(' ').nth(1).unwrap().to_owned();
            head.map(Result::unwrap)
                .take_while(|line| !line.is_empty())
                .for_each(drop);
            let answer = answer(&path);
            let status = if answer.is_null() {
                "404 Not Found"
            } else {
                "200 OK"
            };
            let body = match answer {
                Value::Null => json!({"detail": "Call not found"}).to_string(),
                found => found.to_string(),
            };
            let length = body.len();
            // A test that does not ask which paths has let go of them.
            _ = asked.send(path);
            write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    (base, paths)
}

pub(crate) const NUMBER_ID: &str = "0b9d7a52-3d0c-4f3c-9f0e-1a2b3c4d5e6f";

fn remote(line: &str, base_url: &BaseUrl) -> Result<String, Failure> {
    remote_at(line, Path::new("/nowhere"), base_url)
}

/// The same with a record.
pub(crate) fn remote_at(
    line: &str,
    database: &Path,
    base_url: &BaseUrl,
) -> Result<String, Failure> {
    let config = Config {
        base_url: base_url.clone(),
        api_key: ApiKey::parse("key-of-a-test").unwrap(),
        from_number: E164::parse("+15005550100").unwrap(),
        phone_number_id: Some(PhoneNumberId::parse(NUMBER_ID).unwrap()),
        extra_ca: None,
        timeouts: Timeouts::default(),
    };
    let connect = || Ok(Rest::new(config, Arc::new(Trace::default()))?);
    let mut out = Vec::new();
    let arguments = arguments(line).unwrap();
    run_at(&arguments, database, 80, &mut || false, connect, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn remote_call(n: u32) -> Value {
    json!({
        "id": format!("6f2c9f0e-7d1b-4a53-9a8e-{n:012}"),
        "local_phone_number": "+15550100",
        "remote_phone_number": "+4930123456",
        "direction": "outbound",
        "status": "completed",
        "hangup_reason": "remote",
        "created_at": "2026-11-22T15:49:02+01:00",
        "colour": "green",
    })
}

#[test]
fn the_services_list_is_asked_for_what_was_wanted() {
    let (base, paths) = service(|_| json!([remote_call(1)]));
    let shown = remote("list --remote --limit 7 --offset 3 --blocked false", &base).unwrap();
    let want = "\
ID                                    CREATED (UTC)   WITH      STATUS
6f2c9f0e-7d1b-4a53-9a8e-000000000001  26-11-22 14:49  to +…456  completed, remo…
";
    assert_eq!(shown, want);
    assert_eq!(
        paths.recv().unwrap(),
        format!("/numbers/{NUMBER_ID}/calls?limit=7&offset=3&is_blocked=false")
    );
    let told = remote("list --remote --limit 201", &base)
        .unwrap_err()
        .to_string();
    assert_eq!(
        told,
        "limit is 201, and must be 1 to 200; page with offset to see more"
    );
}

#[test]
fn the_services_own_record_keeps_what_we_do_not_know() {
    let (base, paths) = service(|_| remote_call(1));
    let id = "6f2c9f0e-7d1b-4a53-9a8e-000000000001";
    let shown = remote(&format!("show {id} --remote --json"), &base).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["colour"], &shown["remote_phone_number"]),
        (&"green".into(), &"+…456".into())
    );
    assert_eq!(
        paths.recv().unwrap(),
        format!("/numbers/{NUMBER_ID}/calls/{id}")
    );
    let told = remote("show a/b --remote", &base).unwrap_err().to_string();
    assert!(
        told.starts_with("\"a/b\" is not a call id of the service"),
        "{told}"
    );
}

#[test]
fn an_export_of_the_services_list_turns_its_pages() {
    let (base, paths) = service(|path| {
        let full = path.contains("offset=0") || path.contains("offset=200");
        (0..if full { 200 } else { 5 }).map(remote_call).collect()
    });
    let lines = remote("export --remote", &base).unwrap();
    assert_eq!(lines.lines().count(), 405);
    let asked: Vec<String> = paths.try_iter().collect();
    assert_eq!(asked.len(), 3);
    assert!(asked[2].ends_with("?limit=200&offset=400"), "{asked:?}");

    let csv = remote("export --remote --csv --limit 201", &base).unwrap();
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert!(lines[0].starts_with("id,local_phone_number,"));
    assert_eq!(
        paths.try_iter().last().unwrap().split('?').nth(1),
        Some("limit=1&offset=200")
    );
}
