//! The OpenAPI document against the simulator that runs: everything in it is
//! so, and there is nothing else.
//!
//! Every answer is held against its schema by [`Document::faults`], which knows
//! the part of JSON Schema the document uses and refuses the rest.

use std::collections::BTreeSet;

use callbox::simulator::{
    Answer, ApiKey, Call, Callee, Direction, Handle, IDENTITY, IDENTITY_KEY, IncomingAction,
    Limits, NUMBER, NUMBER_ID, Number, OPENAPI, ORGANIZATION, Reason, Status,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::common::*;

const URL: &str = "wss://box.example/media/1";
const FOREIGN: &str = "11111111-1111-4111-8111-111111111111";
const FOREIGN_NUMBER: &str = "+15005550300";
const FOREIGN_IDENTITY: &str = "22222222-2222-4222-8222-222222222222";
const FOREIGN_CALL: &str = "33333333-3333-4333-8333-333333333333";
const PAST_CALL: &str = "44444444-4444-4444-8444-444444444444";
const NOBODY: &str = "99999999-9999-4999-8999-999999999999";

/// An OpenAPI document, and what of it has been seen.
struct Document {
    root: Value,
    seen: BTreeSet<(String, String, String)>,
}

impl Document {
    fn new() -> Self {
        Self {
            root: serde_json::from_str(OPENAPI).unwrap(),
            seen: BTreeSet::new(),
        }
    }

    /// Every path, method and status of the document.
    fn described(&self) -> BTreeSet<(String, String, String)> {
        let mut all = BTreeSet::new();
        for (path, item) in self.root["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if method == "parameters" {
                    continue;
                }
                for status in operation["responses"].as_object().unwrap().keys() {
                    all.insert((path.clone(), method.to_uppercase(), status.clone()));
                }
            }
        }
        all
    }

    /// Notes that `method` of `path` was answered, and holds the answer
    /// against the document.
    fn check(&mut self, method: &str, path: &str, answered: &Answered) {
        let told = format!("{method} {path} → {}", answered.status);
        let operation = &self.root["paths"][path][method.to_lowercase()];
        let response = &operation["responses"][answered.status.to_string()];
        assert!(response.is_object(), "{told} is not in the document");
        let response = self.resolved(response);
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{told} has no schema");
        let faults = self.faults(schema, &answered.body, "body");
        assert!(faults.is_empty(), "{told}: {faults:?}\n{}", answered.body);
        if let Some(headers) = response["headers"].as_object() {
            for name in headers.keys() {
                assert!(answered.header(name).is_some(), "{told}: no {name}");
            }
        }
        let status = answered.status.to_string();
        self.seen.insert((path.into(), method.into(), status));
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(pointer) = value["$ref"].as_str() else {
            return value;
        };
        let target = self.root.pointer(pointer.trim_start_matches('#'));
        target.unwrap_or_else(|| panic!("{pointer} leads nowhere"))
    }

    /// What is wrong with `value` by `schema`, and where.
    fn faults(&self, schema: &Value, value: &Value, place: &str) -> Vec<String> {
        let schema = self.resolved(schema).as_object().unwrap();
        let mut faults = Vec::new();
        for (word, rule) in schema {
            let fault = match word.as_str() {
                "type" => !of_types(rule, value),
                "enum" => !rule.as_array().unwrap().contains(value),
                "format" => value.as_str().is_some_and(|text| !has_format(rule, text)),
                "minimum" => value.as_f64() < rule.as_f64(),
                "minItems" => (value.as_array().unwrap().len() as u64) < rule.as_u64().unwrap(),
                "oneOf" => {
                    let fits = |schema: &&Value| self.faults(schema, value, place).is_empty();
                    rule.as_array().unwrap().iter().filter(fits).count() != 1
                }
                "items" => {
                    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                        faults.extend(self.faults(rule, item, &format!("{place}[{n}]")));
                    }
                    false
                }
                "required" => {
                    let there = |name: &Value| value.get(name.as_str().unwrap()).is_some();
                    !rule.as_array().unwrap().iter().all(there)
                }
                "properties" => {
                    for (name, schema) in rule.as_object().unwrap() {
                        if let Some(value) = value.get(name) {
                            faults.extend(self.faults(schema, value, &format!("{place}.{name}")));
                        }
                    }
                    false
                }
                "additionalProperties" => {
                    assert_eq!(rule, &json!(false));
                    let names = value.as_object().into_iter().flat_map(|value| value.keys());
                    let mut names = names.filter(|name| schema["properties"].get(name).is_none());
                    names.next().is_some()
                }
                "description" => false,
                other => panic!("{other:?} is a word this test does not know"),
            };
            if fault {
                faults.push(format!("{place}: not {word} {rule}: {value}"));
            }
        }
        faults
    }
}

fn of_types(rule: &Value, value: &Value) -> bool {
    let one = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    };
    rule.as_array()
        .map_or_else(|| one(rule), |any| any.iter().any(one))
}

fn has_format(rule: &Value, text: &str) -> bool {
    match rule.as_str().unwrap() {
        "uuid" => {
            let lengths: Vec<_> = text.split('-').map(str::len).collect();
            let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
            lengths == [8, 4, 4, 4, 12] && text.chars().all(hex)
        }
        "date-time" => text.parse::<Timestamp>().is_ok(),
        "e164" => {
            let digits = text.strip_prefix('+').unwrap_or_default();
            (2..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
        }
        "uri" => text
            .split_once("://")
            .is_some_and(|(_, rest)| !rest.is_empty()),
        other => panic!("{other} is no format"),
    }
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let document = Document::new();
    let error = json!({"$ref": "#/components/schemas/ValidationError"});
    let item = json!({"type": "missing", "loc": ["body"], "msg": "x"});
    assert!(
        document
            .faults(&error, &json!({"detail": [item]}), "")
            .is_empty()
    );
    for wrong in [
        json!(null),
        json!({}),
        json!({"detail": []}),
        json!({"detail": [{"type": "missing", "loc": ["body"]}]}),
        json!({"detail": [{"type": 1, "loc": ["body"], "msg": "x"}]}),
        json!({"detail": [item], "more": 1}),
    ] {
        assert!(!document.faults(&error, &wrong, "").is_empty(), "{wrong}");
    }
    let schemas = [
        (json!({"enum": ["a", null]}), json!("a"), json!("b")),
        (json!({"format": "uuid"}), json!(NOBODY), json!("9999")),
        (
            json!({"format": "date-time"}),
            json!("2026-07-01T00:00:00Z"),
            json!("July"),
        ),
        (json!({"format": "e164"}), json!("+4930"), json!("030")),
        (
            json!({"type": ["integer", "null"]}),
            json!(null),
            json!(1.5),
        ),
        (json!({"minimum": 0}), json!(0), json!(-1)),
        (
            json!({"oneOf": [{"type": "string"}, {"type": "object"}]}),
            json!({}),
            json!([]),
        ),
    ];
    for (schema, right, wrong) in schemas {
        assert!(document.faults(&schema, &right, "").is_empty(), "{schema}");
        assert!(!document.faults(&schema, &wrong, "").is_empty(), "{schema}");
    }
}

/// A call that is over.
fn past(id: &str, number_id: &str, local: &str) -> Call {
    let now = Timestamp::now();
    Call {
        id: id.into(),
        number_id: number_id.into(),
        local: local.into(),
        remote: CALLEE.into(),
        direction: Direction::Outbound,
        status: Status::Completed,
        url: Some(URL.into()),
        use_inkbox_tts: Some(false),
        use_inkbox_stt: Some(true),
        reason: Some(Reason::Remote),
        started_at: Some(now),
        ended_at: Some(now),
        blocked: false,
        created_at: now,
        updated_at: now,
    }
}

fn config() -> callbox::simulator::Config {
    let mut config = quick(Answer::RingsOut(ms(60_000)));
    config.numbers.push(Number {
        id: FOREIGN.into(),
        number: FOREIGN_NUMBER.into(),
        organization: "somebody else".into(),
        identity: Some(FOREIGN_IDENTITY.into()),
        ..Number::default()
    });
    config.keys.push(ApiKey {
        secret: "without a number".into(),
        organization: ORGANIZATION.into(),
        identity: Some(NOBODY.into()),
    });
    config
}

/// One request of an operation, and what is to be answered.
struct Try {
    method: &'static str,
    path: &'static str,
    /// The same with ids and query.
    filled: String,
    body: Value,
    status: u16,
}

/// All statuses of `method path` that come of the ids and the body alone.
fn tries(call: &str) -> Vec<Try> {
    let mut tries = Vec::new();
    let mut add = |method, path: &'static str, ids: [&str; 2], rest: &str, body: &Value, status| {
        let filled = path.replace("{phone_number_id}", ids[0]);
        tries.push(Try {
            method,
            path,
            filled: filled.replace("{call_id}", ids[1]) + rest,
            body: body.clone(),
            status,
        });
    };
    let none = Value::Null;
    let large = json!({"padding": "x".repeat(100_000)});
    let ours = [NUMBER_ID, PAST_CALL];

    let place = "/place-call";
    let good = placement(URL);
    let foreign = json!({"from_number": FOREIGN_NUMBER, "to_number": CALLEE});
    add("POST", place, ours, "", &good, 200);
    add("POST", place, ours, "", &foreign, 403);
    add("POST", place, ours, "", &large, 413);
    add("POST", place, ours, "", &json!({}), 422);

    add("GET", "/numbers", ours, "", &none, 200);
    for (path, method) in [
        ("/numbers/{phone_number_id}", "GET"),
        ("/numbers/{phone_number_id}", "PATCH"),
        ("/numbers/{phone_number_id}/calls", "GET"),
        ("/numbers/{phone_number_id}/calls/{call_id}", "GET"),
        (
            "/numbers/{phone_number_id}/calls/{call_id}/transcripts",
            "GET",
        ),
    ] {
        let body = if method == "PATCH" {
            json!({})
        } else {
            none.clone()
        };
        add(method, path, ours, "", &body, 200);
        add(method, path, [FOREIGN, FOREIGN_CALL], "", &body, 403);
        add(method, path, [NOBODY, NOBODY], "", &body, 404);
        add(method, path, ["x", "x"], "", &body, 422);
    }
    let number = "/numbers/{phone_number_id}";
    add("PATCH", number, ours, "", &large, 413);
    for (path, method) in [
        ("/calls/{call_id}", "GET"),
        ("/calls/{call_id}/hangup", "POST"),
        ("/calls/{call_id}/transcripts", "GET"),
    ] {
        if method == "GET" {
            add(method, path, ours, "", &none, 200);
        } else {
            add(method, path, [NUMBER_ID, call], "", &none, 200);
            add(method, path, ours, "", &none, 409);
        }
        add(method, path, [FOREIGN, FOREIGN_CALL], "", &none, 403);
        add(method, path, [NOBODY, NOBODY], "", &none, 404);
        add(method, path, ["x", "x"], "", &none, 422);
    }
    let of = |identity| format!("?agent_identity_id={identity}");
    add("GET", "/calls", ours, &of(IDENTITY), &none, 200);
    add("GET", "/calls", ours, "", &none, 422);

    let action = "/incoming-call-action";
    let reject =
        |identity| json!({"incoming_call_action": "auto_reject", "agent_identity_id": identity});
    for (identity, status) in [
        (IDENTITY, 200),
        (FOREIGN_IDENTITY, 403),
        (NOBODY, 404),
        ("x", 422),
    ] {
        add("GET", action, ours, &of(identity), &none, status);
        add("PUT", action, ours, "", &reject(identity), status);
    }
    add("PUT", action, ours, "", &large, 413);
    tries
}

/// A call that rings, so that it can be hung up, and one that is over for each
/// organization; something was said in ours.
async fn populate(client: &Client, handle: &Handle) -> String {
    handle.add_call(past(PAST_CALL, NUMBER_ID, NUMBER));
    handle.add_call(past(FOREIGN_CALL, FOREIGN, FOREIGN_NUMBER));
    let call = client.placed(URL).await;
    reached(handle, &call, Status::Ringing).await;
    call
}

#[tokio::test]
async fn everything_in_the_document_is_so() {
    let simulator = start(config()).await;
    let mut client = Client::new(&simulator);
    let handle = &simulator.handle;
    let call = populate(&client, handle).await;
    let mut document = Document::new();
    let tries = tries(&call);
    for one in &tries {
        let answered = client.ask(one.method, &one.filled, &one.body).await;
        let told = format!("{} {}: {}", one.method, one.filled, answered.body);
        assert_eq!(answered.status, one.status, "{told}");
        document.check(one.method, one.path, &answered);
    }
    // What needs the service in another state.
    handle.set_callee(Callee::absent(Answer::DialFails));
    document.check("POST", "/place-call", &client.place(URL).await);
    handle.set_active(NUMBER_ID, false);
    document.check("POST", "/place-call", &client.place(URL).await);
    handle.set_active(NUMBER_ID, true);
    let calls = 0;
    handle.set_limits(Limits {
        calls,
        minutes: 100,
    });
    document.check("POST", "/place-call", &client.place(URL).await);
    client.key = "wrong";
    for one in tries.iter().filter(|one| one.status == 200) {
        let answered = client.ask(one.method, &one.filled, &one.body).await;
        assert_eq!(answered.status, 401, "{}", one.filled);
        document.check(one.method, one.path, &answered);
    }
    assert_eq!(document.seen, document.described());
}

#[tokio::test]
async fn nothing_else_is_served() {
    let simulator = start(config()).await;
    let client = Client::new(&simulator);
    let document = Document::new();
    let paths = document.root["paths"].as_object().unwrap();
    for (path, item) in paths {
        let filled = path.replace("{phone_number_id}", NUMBER_ID);
        let filled = filled.replace("{call_id}", PAST_CALL);
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let described = item.get(method.to_lowercase()).is_some();
            let answered = client.ask(method, &filled, &Value::Null).await;
            assert_eq!(answered.status != 405, described, "{method} {path}");
        }
        for other in [
            format!("{filled}/"),
            format!("{filled}/more"),
            format!("/v2{filled}"),
        ] {
            // An id may be anything, but no path is longer than described.
            let is_an_id = paths.contains_key(&format!("{path}/{{call_id}}"))
                || paths.contains_key(&format!("{path}/{{phone_number_id}}"));
            let want = if is_an_id && !other.starts_with("/v2") {
                422
            } else {
                404
            };
            let answered = client.ask("GET", &other, &Value::Null).await;
            assert_eq!(answered.status, want, "{other}");
        }
    }
}

#[tokio::test]
async fn the_document_is_served_as_it_is() {
    let simulator = start(config()).await;
    let url = format!("{}/openapi.json", simulator.handle.origin());
    let client = Client::new(&simulator);
    let served = read(client.http.get(&url)).await.unwrap();
    assert_eq!((served.status, &served.body), (200, &Document::new().root));
    assert_eq!(read(client.http.post(&url)).await.unwrap().status, 404);
    let base = served.body["servers"][0]["url"].as_str().unwrap();
    assert!(simulator.base_url.ends_with(base));
}

#[tokio::test]
async fn wrong_settings_of_a_number_are_told_where_and_change_nothing() {
    let simulator = start(config()).await;
    let client = Client::new(&simulator);
    let path = format!("/numbers/{NUMBER_ID}");
    let action = "incoming_call_action";
    let url = "client_websocket_url";
    let cases = [
        (json!([]), "body"),
        (json!("auto_accept"), "body"),
        (json!({action: "answer"}), action),
        (json!({action: null}), action),
        (json!({action: 1}), action),
        (json!({url: "https://box.example/"}), url),
        (json!({url: "ws://box.example/"}), url),
        (json!({url: "wss://".to_owned() + &"x".repeat(3000)}), url),
        (json!({url: 1}), url),
        (
            json!({"incoming_call_webhook_url": "http://x.example/"}),
            "incoming_call_webhook_url",
        ),
        // What the action needs and the number has not.
        (json!({action: "auto_accept"}), url),
        (json!({action: "webhook"}), "incoming_call_webhook_url"),
        (json!({action: "auto_accept", url: null}), url),
    ];
    for (body, place) in cases {
        let answered = client.ask("PATCH", &path, &body).await;
        assert_eq!(answered.status, 422, "{body}");
        let first = &answered.body["detail"][0];
        let last = first["loc"].as_array().unwrap().last().unwrap();
        assert_eq!(last, place, "{body}");
    }
    let number = simulator.handle.number(NUMBER_ID).unwrap();
    assert_eq!(number.incoming_call_action, IncomingAction::AutoReject);
    assert_eq!(number.client_websocket_url, None);
}

#[tokio::test]
async fn a_number_is_set_and_what_is_not_named_stays() {
    let simulator = start(config()).await;
    let mut client = Client::new(&simulator);
    let path = format!("/numbers/{NUMBER_ID}");
    let before = client.get(&path).await.body;
    assert_eq!(before["incoming_call_action"], "auto_reject");
    let accept =
        json!({"incoming_call_action": "auto_accept", "client_websocket_url": URL, "new": 1});
    let after = client.ask("PATCH", &path, &accept).await.body;
    assert_eq!(after["incoming_call_action"], "auto_accept");
    assert_eq!(after["client_websocket_url"], URL);
    assert_eq!(after["created_at"], before["created_at"]);
    let stamp = |number: &Value| number["updated_at"].as_str().unwrap().parse::<Timestamp>();
    assert!(stamp(&after).unwrap() > stamp(&before).unwrap());
    let same = client.ask("PATCH", &path, &json!({})).await.body;
    assert_eq!(same["client_websocket_url"], URL);
    // The other way to the same settings, by the identity's own key.
    client.key = IDENTITY_KEY;
    let action = client.get("/incoming-call-action").await.body;
    assert_eq!(action["agent_identity_id"], IDENTITY);
    assert_eq!(action["incoming_call_action"], "auto_accept");
    let reject = json!({"incoming_call_action": "auto_reject", "client_websocket_url": null});
    let set = client.ask("PUT", "/incoming-call-action", &reject).await;
    assert_eq!(
        (set.status, &set.body["client_websocket_url"]),
        (200, &Value::Null)
    );
    assert_eq!(
        client.get(&path).await.body["client_websocket_url"],
        Value::Null
    );
    let numbers = client.get("/numbers").await.body;
    assert_eq!(numbers.as_array().unwrap().len(), 1);
    // An identity sees its own only, and not even that of its organization.
    client.key = "without a number";
    assert_eq!(client.get("/numbers").await.body, json!([]));
    assert_eq!(client.ask("PATCH", &path, &accept).await.status, 403);
    assert_eq!(client.get("/incoming-call-action").await.status, 404);
    let nothing = json!({"client_websocket_url": URL});
    client.key = IDENTITY_KEY;
    let unsaid = client.ask("PUT", "/incoming-call-action", &nothing).await;
    assert_eq!(unsaid.status, 422);
}
