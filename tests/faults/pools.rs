//! Connections that are kept: what dies unsent is sent again once, and nothing else is.

use std::sync::Arc;
use std::time::Duration;

use interlingua_tests::client::Request;
use libtest_mimic::{Failed, Trial};

use crate::dialect::{Way, length};
use crate::fault::request;
use crate::provider::{Script, Seen};
use crate::world::{POOLS, World, Worlds};

const PLAIN: Way = Way { other: false, live: false };

/// What happens on the connection of a first answer, and what becomes of a second request.
struct Row {
    name: &'static str,
    first: fn(Script) -> Script,
    second: fn() -> Script,
    /// Status and code of the second answer.
    then: (u16, &'static str),
    /// How often the provider was asked, and on how many connections.
    asked: (usize, usize),
}

fn rows() -> Vec<Row> {
    let row = |name, first, then, asked| Row { name, first, second: sound, then, asked };
    vec![
        row("kept", |script| script, (200, ""), (2, 1)),
        row("closed_while_idle", Script::close, (200, ""), (2, 2)),
        row("reset_while_idle", Script::reset, (200, ""), (2, 2)),
        row("half_closed_while_idle", Script::half_close, (200, ""), (2, 2)),
        row(
            "speaks_while_idle",
            |script| script.pause(PAUSE).write("HTTP/1.1 408 Late\r\n\r\n"),
            (200, ""),
            (2, 2),
        ),
        row(
            "interim_answer_while_idle",
            |script| script.pause(PAUSE).write("HTTP/1.1 100 Continue\r\n\r\n"),
            (200, ""),
            (2, 2),
        ),
        // It may have been read: whoever repeats it may pay twice.
        Row {
            name: "closed_behind_the_request",
            first: |script| script,
            second: || Script::new().close(),
            then: (502, "upstream_closed"),
            asked: (2, 1),
        },
        Row {
            name: "reset_behind_the_request",
            first: |script| script,
            second: || Script::new().reset(),
            then: (502, "upstream_closed"),
            asked: (2, 1),
        },
        Row {
            name: "cut_head_behind_the_request",
            first: |script| script,
            second: || Script::new().write("HTTP/1.1 200").close(),
            then: (502, "upstream_closed"),
            asked: (2, 1),
        },
        // Only once: the new connection dies as well.
        Row {
            name: "closed_while_idle_and_again",
            first: Script::close,
            second: || Script::new().close(),
            then: (502, "upstream_closed"),
            asked: (2, 2),
        },
        Row {
            name: "overloaded_is_not_repeated",
            first: |script| script,
            second: || {
                Script::new().write("HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n")
            },
            then: (503, ""),
            asked: (2, 1),
        },
    ]
}

/// Time for bytes to arrive on a connection that nobody waits for.
const PAUSE: Duration = Duration::from_millis(50);

fn sound() -> Script {
    let answer = PLAIN.answer();
    Script::new().write(PLAIN.head() + &length(answer.len()) + &answer)
}

pub(crate) fn trials(worlds: &Arc<Worlds>) -> Vec<Trial> {
    let rows = rows();
    assert!(rows.len() <= POOLS, "each needs a pool of its own");
    rows.into_iter()
        .enumerate()
        .map(|(number, row)| {
            let worlds = Arc::clone(worlds);
            Trial::test(format!("pool/{}", row.name), move || worlds.run(run(&row, number, worlds.usual())))
        })
        .collect()
}

async fn run(row: &Row, number: usize, world: &World) -> Result<(), Failed> {
    let model = format!("pool.{}", row.name);
    let body = request(&format!("pool-{number}/{model}"), false, 0);
    let ask = || Request::new(world.addr(), "POST", "/v1/chat/completions").json(&body).send();
    world.provider.will(&model, (row.first)(sound()));
    let first = ask().await;
    // What happens to the connection has happened.
    tokio::time::sleep(PAUSE * 4).await;
    world.provider.will(&model, (row.second)());
    let second = ask().await;
    let seen = world.provider.seen(&model);
    let mut connections: Vec<usize> = seen.iter().map(|seen: &Seen| seen.connection).collect();
    connections.dedup();
    let then = if second.status == 200 { (200, String::new()) } else { second.error() };
    let right = first.status == 200
        && (then.0, then.1.as_str()) == row.then
        && (seen.len(), connections.len()) == row.asked;
    if right {
        return Ok(());
    }
    Err(format!(
        "expected {:?} and {:?}: {} {} {}, {} times on {connections:?}",
        row.then,
        row.asked,
        first.status,
        second.status,
        second.text(),
        seen.len()
    )
    .into())
}
