//! Providers that cannot be reached, or go before they have answered.

use std::time::Duration;

use crate::dialect::length;
use crate::fault::Outcome::{Error, Exact};
use crate::fault::{Fault, fault};
use crate::provider::Script;

pub(crate) fn faults() -> Vec<Fault> {
    let nothing = |_| Script::new();
    vec![
        // Before a request can be written.
        fault("connection/refused", nothing).at("-refused").bad("upstream_unreachable"),
        fault("connection/black_hole", nothing)
            .at("-hole")
            .both(Error(504, "upstream_connect_timeout"))
            .takes(Duration::from_millis(500)),
        fault("connection/reset_at_once", nothing).at("-resets").bad(""),
        fault("connection/closed_at_once", nothing).at("-closes").bad("upstream_closed"),
        fault("connection/no_tls", nothing).at("-tls").bad("upstream_tls"),
        // While it is written.
        fault("connection/never_reads", nothing)
            .at("-deaf")
            .both(Error(504, "upstream_timeout"))
            .takes(Duration::from_millis(500)),
        fault("connection/never_reads_a_large_request", nothing)
            .at("-deaf")
            .request_of(3 << 20)
            .both(Error(504, "upstream_timeout"))
            .takes(Duration::from_millis(500)),
        // Instead of an answer.
        fault("connection/silent", |_| Script::new().hold()).in_time().both(Error(504, "upstream_timeout")),
        fault("connection/closed", |_| Script::new().close()).bad("upstream_closed"),
        fault("connection/reset", |_| Script::new().reset()).bad("upstream_closed"),
        fault("connection/half_closed", |_| Script::new().half_close().hold()).bad("upstream_closed"),
        // Around an answer.
        fault("connection/half_closed_behind_the_answer", |way| {
            let answer = way.answer();
            Script::new().write(way.head() + &length(answer.len()) + &answer).half_close().hold()
        })
        .exact()
        .spoils(),
        fault("connection/closed_behind_the_answer", |way| {
            let answer = way.answer();
            Script::new().write(way.head() + &length(answer.len()) + &answer).close()
        })
        .exact()
        .spoils(),
        fault("connection/announced_close", |way| {
            let answer = way.answer();
            Script::new().write(way.head() + "connection: close\r\n" + &length(answer.len()) + &answer).hold()
        })
        .exact()
        .spoils(),
        fault("connection/reset_in_the_answer", |way| {
            Script::new().write(way.head() + &length(9_999)).reset()
        })
        .plain(Error(502, "upstream_cut"))
        .live(crate::fault::Outcome::Broken("upstream_cut"))
        .early(),
        fault("connection/answer_byte_by_byte", |way| {
            let answer = way.answer();
            Script::new().drip(way.head() + &length(answer.len()) + &answer)
        })
        .both(Exact),
    ]
}
