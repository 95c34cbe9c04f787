//! Providers behind TLS: handshakes that come to nothing, and what is wrong with the bytes below a sound answer.

use std::time::Duration;

use crate::dialect::{CHUNKED, LAST, Way, length, piece};
use crate::fault::Outcome::{Broken, Error, Exact};
use crate::fault::{Fault, HASTY, fault};
use crate::provider::Script;

pub(crate) fn faults() -> Vec<Fault> {
    [handshakes(), sound(), cut()].concat()
}

/// No request leaves before there is trust.
fn handshakes() -> Vec<Fault> {
    let nothing = |_| Script::new();
    let refused = |name, at| fault(name, nothing).at(at).bad("upstream_tls");
    let late = |name, at| {
        let late = fault(name, nothing).at(at).both(Error(504, "upstream_connect_timeout"));
        late.takes(HASTY)
    };
    vec![
        refused("tls/refused", "-tls-refuses"),
        refused("tls/old_version", "-tls-old"),
        refused("tls/cut_in_the_handshake", "-tls-cut"),
        refused("tls/reset_in_the_handshake", "-tls-reset"),
        refused("tls/half_a_handshake", "-tls-half"),
        refused("tls/endless_handshake", "-tls-flood"),
        refused("tls/garbage", "-tls-garbage"),
        late("tls/silent", "-tls-silent"),
        late("tls/stuck", "-tls-stuck"),
        late("tls/handshake_drips_for_ever", "-tls-drips"),
        refused("tls/expired", "-tls-expired").shows("has expired"),
        refused("tls/not_valid_yet", "-tls-early").shows("not valid yet"),
        refused("tls/of_another_name", "-tls-elsewhere").shows("for another host name"),
        refused("tls/of_a_stranger", "-tls-stranger").shows("an authority that is not trusted"),
        // The newer version tells a client that has no certificate only after the handshake.
        fault("tls/wants_a_certificate", nothing).at("-tls-mutual").bad("upstream_closed"),
        refused("tls/wants_a_certificate_1_2", "-tls-mutual12"),
    ]
}

fn whole(way: Way) -> Script {
    let answer = way.answer();
    Script::new().write(way.head() + &length(answer.len()) + &answer)
}

/// Half of the answer, with its length or in chunks.
fn half(way: Way, chunks: bool) -> Script {
    let begin = if way.live { way.begin() } else { "{\"id\":".to_owned() };
    if chunks {
        Script::new().write(way.head() + CHUNKED).write(piece(begin))
    } else {
        Script::new().write(way.head() + &length(9_999)).write(begin)
    }
}

/// The answer, whose end is that of the connection.
fn open_ended(way: Way) -> Script {
    Script::new().write(way.head() + "\r\n" + &way.answer())
}

fn sound() -> Vec<Fault> {
    let fault = |name, script| fault(name, script).at("-tls-secure");
    vec![
        fault("tls/sound", whole).exact(),
        fault("tls/sound_1_2", whole).at("-tls-secure12").exact(),
        fault("tls/sound_in_chunks", |way| {
            Script::new().write(way.head() + CHUNKED).write(piece(way.answer())).write(LAST)
        })
        .exact(),
        fault("tls/byte_by_byte", |way| {
            let answer = way.answer();
            Script::new().drip(way.head() + &length(answer.len()) + &answer)
        })
        .exact(),
        fault("tls/ended_by_a_farewell", |way| open_ended(way).half_close()).exact().spoils(),
        // Each alone with its connections.
        fault("tls/closed_behind_the_answer", |way| whole(way).close())
            .at("-tls-apart0")
            .plain(Exact)
            .spoils(),
        fault("tls/farewell_behind_the_answer", |way| whole(way).half_close().hold())
            .at("-tls-apart1")
            .plain(Exact)
            .spoils(),
        fault("tls/bytes_behind_the_answer", |way| {
            let answer = way.answer();
            Script::new().write(way.head() + &length(answer.len()) + &answer + "HTTP/1.1 200 OK\r\n\r\n")
        })
        .at("-tls-apart2")
        .plain(Exact)
        .spoils(),
    ]
}

const PAUSE: Duration = Duration::from_millis(30);

/// Until what came before was read, on a busy machine too: a record that is none spoils what is read together with it.
const READ: Duration = Duration::from_millis(300);

/// An alert as whoever stands in between may write it, and a record that nobody has encrypted.
const ALERT: &[u8] = b"\x15\x03\x03\0\x02\x02\x50";
const FOREIGN: &[u8] = b"\x17\x03\x03\0\x20abcdefghijklmnopqrstuvwxyz012345";

fn cut() -> Vec<Fault> {
    let fault = |name, script| fault(name, script).at("-tls-secure");
    let code = "upstream_cut";
    vec![
        fault("tls/closed", |_| Script::new().close()).bad("upstream_closed"),
        fault("tls/farewell_without_an_answer", |_| Script::new().half_close().hold()).bad("upstream_closed"),
        fault("tls/reset", |_| Script::new().reset()).bad("upstream_closed"),
        fault("tls/alert", |_| Script::new().below(ALERT).hold()).bad("upstream_closed"),
        fault("tls/plain_answer", |way| {
            let answer = way.answer();
            Script::new().below(way.head() + &length(answer.len()) + &answer).hold()
        })
        .bad("upstream_closed"),
        fault("tls/silent_provider", |_| Script::new().hold())
            .both(Error(504, "upstream_timeout"))
            .takes(HASTY),
        // Without a farewell nobody knows who has ended it.
        fault("tls/closed_where_the_end_is_the_answers", |way| open_ended(way).close())
            .plain(Error(502, code))
            .live(Exact),
        fault("tls/closed_in_an_open_ended_answer", |way| {
            Script::new().write(way.head() + "\r\n" + if way.live { "" } else { "{\"id\":" }).close()
        })
        .plain(Error(502, code))
        .live(Broken(code))
        .early(),
        fault("tls/closed_in_a_length", |way| half(way, false).close()).breaks(code),
        fault("tls/closed_in_chunks", |way| half(way, true).close()).breaks(code),
        fault("tls/farewell_in_a_length", |way| half(way, false).half_close().hold()).breaks(code),
        fault("tls/farewell_in_chunks", |way| half(way, true).half_close().hold()).breaks(code),
        fault("tls/reset_in_chunks", |way| half(way, true).pause(PAUSE).reset()).breaks(code),
        fault("tls/alert_in_chunks", |way| half(way, true).pause(READ).below(ALERT).hold()).breaks(code),
        fault("tls/foreign_record_in_chunks", |way| half(way, true).pause(READ).below(FOREIGN).hold())
            .breaks(code),
        fault("tls/plain_bytes_in_chunks", |way| half(way, true).pause(READ).below(piece("x")).hold())
            .breaks(code),
        fault("tls/half_a_record_in_chunks", |way| half(way, true).pause(READ).below(&FOREIGN[..9]).hold())
            .idle(),
    ]
}
