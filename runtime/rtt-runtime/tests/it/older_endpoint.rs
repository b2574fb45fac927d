//! An endpoint of an older build, which reads fewer knobs: what it does not know is left out, or refused by name.

use crate::endpoint_process::plain;
use rtt_profile::Knobs;
use rtt_runtime::control::Configure;
use rtt_runtime::{Client, ClientError};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

/// Answers a hello and a configure as a build without the knob `huge_pages` would; returns what it was asked.
fn older(socket: UnixStream) -> JoinHandle<Vec<Value>> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(socket);
        let mut asked = Vec::new();
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
            let request: Value = serde_json::from_str(&line).expect("JSON");
            let mut knobs = json!(plain());
            knobs.as_object_mut().expect("knobs").remove("huge_pages");
            let names: Vec<&String> = knobs.as_object().expect("knobs").keys().collect();
            let answer = match request.get("hello") {
                Some(_) => {
                    json!({"hello": {"version": 1, "build": "rtt-endpoint 0.0.9", "knobs": names, "profile": false}})
                }
                None => json!({"ready": {
                    "knobs": knobs, "cpus": "0", "producer_cpus": "0", "page_bytes": 4096, "ring_bytes_total": 65536,
                }}),
            };
            writeln!(lines.get_mut(), "{answer}").expect("answered");
            asked.push(request);
            line.clear();
        }
        asked
    })
}

fn configure(knobs: &Knobs) -> (Result<Knobs, ClientError>, Vec<Value>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let endpoint = older(theirs);
    let mut client = Client::new(ours);
    client.hello().expect("a hello");
    let wanted = Configure { knobs: Some(knobs.clone()), rings: 1, reply: false, cpus: None };
    let ready = client.configure(&wanted).map(|ready| ready.knobs);
    drop(client);
    (ready, endpoint.join().expect("no panic"))
}

#[test]
fn a_knob_that_means_as_much_as_its_absence_is_left_out() {
    let (ready, asked) = configure(&plain());
    assert_eq!(ready.expect("ready"), plain(), "it is told back as what its absence means");
    assert_eq!(asked[1]["configure"]["knobs"].get("huge_pages"), None, "{}", asked[1]);
    assert_eq!(asked[1]["configure"]["knobs"]["batch"], 1);
}

#[test]
fn a_knob_that_matters_is_refused_by_name_before_it_is_asked_for() {
    let (ready, asked) = configure(&Knobs { huge_pages: true, ..plain() });
    let error = ready.expect_err("it does not read it");
    assert!(error.to_string().contains("huge_pages, which is true"), "{error}");
    assert_eq!(asked.len(), 1, "only the hello came");
}
