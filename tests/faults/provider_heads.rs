//! Heads of answers: cut, malformed, too large, too slow; other statuses than asked for.

use std::time::Duration;

use crate::dialect::{Way, head, length};
use crate::fault::Outcome::Error;
use crate::fault::{Fault, fault};
use crate::provider::Script;

/// The whole answer behind a head of which `extra` is a part.
fn with(way: Way, extra: &str) -> Script {
    let answer = way.answer();
    Script::new().write(way.head() + extra + &length(answer.len()) + &answer)
}

/// The whole answer behind another start line.
fn started(way: Way, start: &str) -> Script {
    let answer = way.answer();
    let headers = format!("content-type: {}\r\n", way.media());
    Script::new().write(start.to_owned() + "\r\n" + &headers + &length(answer.len()) + &answer)
}

/// Something else in front of the answer.
fn behind(way: Way, first: &str) -> Script {
    let answer = way.answer();
    Script::new().write(first.to_owned() + &way.head() + &length(answer.len()) + &answer)
}

/// An error of that status, in the provider's words.
fn refused(way: Way, status: u16) -> Script {
    let error = way.error("Slow down");
    Script::new().write(head(status, "application/json") + &length(error.len()) + &error)
}

/// That status, with a place to go to.
fn moved(way: Way, status: u16) -> Script {
    let answer = way.answer();
    let location = "location: http://127.0.0.1:9/v1/elsewhere\r\n";
    Script::new().write(head(status, way.media()) + location + &length(answer.len()) + &answer)
}

pub(crate) fn faults() -> Vec<Fault> {
    [malformed(), slow(), early(), statuses()].concat()
}

fn malformed() -> Vec<Fault> {
    let bad = "upstream_malformed";
    vec![
        fault("head/another_protocol", |_| Script::new().write("SSH-2.0-OpenSSH_9.9\r\n\r\n").hold())
            .bad(bad),
        fault("head/no_head", |way| Script::new().write(way.answer()).close()).bad(bad),
        fault("head/http_2", |way| started(way, "HTTP/2 200 OK")).bad(bad),
        fault("head/http_0_9", |_| Script::new().write("<html>\r\n\r\n").close()).bad(bad),
        fault("head/http_1_0", |way| Script::new().write(started_1_0(way) + "\r\n" + &way.answer()).close())
            .exact()
            .spoils(),
        fault("head/status_without_reason", |way| started(way, "HTTP/1.1 200")).exact(),
        fault("head/status_of_two_digits", |way| started(way, "HTTP/1.1 20 OK")).bad(bad),
        fault("head/status_of_four_digits", |way| started(way, "HTTP/1.1 2000 OK")).bad(bad),
        fault("head/status_of_letters", |way| started(way, "HTTP/1.1 OK 200")).bad(bad),
        fault("head/line_without_colon", |way| with(way, "nothing\r\n")).bad(bad),
        fault("head/name_with_space", |way| with(way, "x y: z\r\n")).bad(bad),
        fault("head/space_before_colon", |way| with(way, "x : z\r\n")).bad(bad),
        fault("head/empty_name", |way| with(way, ": z\r\n")).bad(bad),
        fault("head/folded_line", |way| with(way, "x: a\r\n b\r\n")).bad(bad),
        fault("head/nul_in_a_value", |way| with(way, "x: a\0b\r\n")).bad(bad),
        fault("head/bare_cr", |way| with(way, "x: a\rb: c\r\n")).bad(bad),
        fault("head/bytes_beyond_ascii", |way| {
            let answer = way.answer();
            let head = [way.head().as_bytes(), b"x: \xff\xfe\r\n", length(answer.len()).as_bytes()].concat();
            Script::new().write([&head[..], answer.as_bytes()].concat())
        })
        .exact(),
        fault("head/300_headers", |way| {
            let many: String = (0..300).map(|n| format!("x-{n}: y\r\n")).collect();
            with(way, &many)
        })
        .bad(bad),
        fault("head/100_headers", |way| {
            let many: String = (0..100).map(|n| format!("x-{n}: y\r\n")).collect();
            with(way, &many)
        })
        .exact(),
        fault("head/4_mib", |way| with(way, &format!("x: {}\r\n", "y".repeat(4 << 20)))).bad(bad),
        fault("head/4_mib_in_lines", |way| with(way, &"x: yyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(1 << 17)))
            .bad(bad),
        fault("head/endless_start_line", |_| {
            Script::new().write("HTTP/1.1 200 ").pour("O".repeat(4096), 4096)
        })
        .bad(bad),
        fault("head/cut_in_the_start_line", |_| Script::new().write("HTTP/1.1 20").close())
            .bad("upstream_closed"),
        fault("head/cut_in_a_header", |way| Script::new().write(way.head() + "content-le").close())
            .bad("upstream_closed"),
        fault("head/cut_before_the_empty_line", |way| Script::new().write(way.head()).close())
            .bad("upstream_closed"),
        fault("head/reset_in_the_middle", |way| Script::new().write(way.head()).reset())
            .bad("upstream_closed"),
    ]
}

fn started_1_0(way: Way) -> String {
    format!("HTTP/1.0 200 OK\r\ncontent-type: {}\r\n", way.media())
}

fn slow() -> Vec<Fault> {
    let late = Error(504, "upstream_timeout");
    vec![
        fault("head/silent_in_the_middle", |way| Script::new().write(way.head()).hold())
            .in_time()
            .both(late.clone()),
        fault("head/drips_for_ever", |way| {
            Script::new().write(way.head()).tick("x: y\r\n", Duration::from_millis(50), 100_000)
        })
        .in_time()
        .both(late.clone()),
        fault("head/interim_answers_for_ever", |_| {
            Script::new().tick("HTTP/1.1 102 Processing\r\n\r\n", Duration::from_millis(50), 100_000)
        })
        .in_time()
        .both(late),
    ]
}

/// Interim answers.
fn early() -> Vec<Fault> {
    vec![
        fault("interim/100", |way| behind(way, "HTTP/1.1 100 Continue\r\n\r\n")).exact(),
        fault("interim/103_with_headers", |way| {
            behind(way, "HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\ncontent-length: 7\r\n\r\n")
        })
        .exact(),
        fault("interim/1000_times", |way| behind(way, &"HTTP/1.1 102 Processing\r\n\r\n".repeat(1000)))
            .exact(),
        fault("interim/101_unasked", |way| {
            behind(way, "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
        })
        .bad("upstream_redirect"),
        fault("interim/100_and_gone", |_| Script::new().write("HTTP/1.1 100 Continue\r\n\r\n").close())
            .bad("upstream_closed"),
        fault("interim/100_with_a_body", |way| {
            behind(way, "HTTP/1.1 100 Continue\r\ncontent-length: 2\r\n\r\n{}")
        })
        .bad("upstream_malformed"),
    ]
}

fn statuses() -> Vec<Fault> {
    let moved_to = "upstream_redirect";
    vec![
        // Never followed.
        fault("redirect/300", |way| moved(way, 300)).bad(moved_to).hides("elsewhere"),
        fault("redirect/301", |way| moved(way, 301)).bad(moved_to).hides("elsewhere"),
        fault("redirect/302", |way| moved(way, 302)).bad(moved_to).hides("elsewhere"),
        fault("redirect/303", |way| moved(way, 303)).bad(moved_to).hides("elsewhere"),
        fault("redirect/304", |way| moved(way, 304)).bad(moved_to),
        fault("redirect/307", |way| moved(way, 307)).bad(moved_to).hides("elsewhere"),
        fault("redirect/308", |way| moved(way, 308)).bad(moved_to).hides("elsewhere"),
        // Success of another kind.
        fault("status/201", |way| started(way, "HTTP/1.1 201 Created")).exact(),
        fault("status/204", |_| Script::new().write("HTTP/1.1 204 No Content\r\n\r\n")).bad(""),
        fault("status/205", |_| {
            Script::new().write("HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n")
        })
        .bad(""),
        fault("status/206", |way| started(way, "HTTP/1.1 206 Partial Content")).bad("upstream_partial"),
        // Failures in the provider's words, with the provider's status.
        fault("status/400", |way| refused(way, 400)).both(Error(400, "")).shows("Slow down"),
        fault("status/401", |way| refused(way, 401)).both(Error(401, "")).shows("Slow down"),
        fault("status/403", |way| refused(way, 403)).both(Error(403, "")).shows("Slow down"),
        fault("status/404", |way| refused(way, 404)).both(Error(404, "")).shows("Slow down"),
        fault("status/413", |way| refused(way, 413)).both(Error(413, "")).shows("Slow down"),
        fault("status/429", |way| refused(way, 429)).both(Error(429, "")).shows("Slow down"),
        fault("status/500", |way| refused(way, 500)).both(Error(500, "")).shows("Slow down"),
        fault("status/502", |way| refused(way, 502)).both(Error(502, "")).shows("Slow down"),
        fault("status/503", |way| refused(way, 503)).both(Error(503, "")).shows("Slow down"),
        fault("status/504", |way| refused(way, 504)).both(Error(504, "")).shows("Slow down"),
        // Numbers that are no status.
        fault("status/600", |way| refused(way, 600)).both(Error(502, "")),
        fault("status/999", |way| refused(way, 999)).both(Error(502, "")),
    ]
}
