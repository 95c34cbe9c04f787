//! What large things cost: at most twice what the config allows them to be. The allocator keeps for a while what
//! growing has left behind.

use std::sync::{Arc, OnceLock};

use interlingua_tests::client::Request;
use libtest_mimic::{Failed, Trial};
use tokio::sync::Mutex;

use crate::dialect::{CHUNKED, Way, length, piece};
use crate::fault::request;
use crate::provider::Script;
use crate::provider_bodies::bomb;
use crate::world::{BODY_BYTES, EVENT_BYTES, KEY, RESPONSE_BYTES, World, Worlds};

/// Buffers of sockets and heads, and what the allocator keeps for the next one.
const AROUND: usize = 6 << 20;

struct Row {
    name: &'static str,
    live: bool,
    script: fn(Way) -> Script,
    /// The client's body, if that is what is large; and its headers.
    body: fn(&str) -> (String, Vec<u8>),
    /// What it may be.
    allowed: usize,
}

fn rows() -> Vec<Row> {
    let answer = |name, script| Row { name, live: false, script, body: usual, allowed: RESPONSE_BYTES };
    let stream = |name, script| Row { name, live: true, script, body: usual, allowed: EVENT_BYTES };
    let body = |name, body| Row { name, live: false, script: |_| Script::new(), body, allowed: BODY_BYTES };
    vec![
        answer("answer_of_192_mib", |way| {
            Script::new().write(way.head() + CHUNKED).pour(piece(vec![b' '; 1 << 20]), 192)
        }),
        answer("answer_of_192_mib_with_a_length", |way| {
            Script::new().write(way.head() + &length(192 << 20)).pour(vec![b' '; 1 << 20], 192)
        }),
        answer("error_of_192_mib", |_| {
            let head = "HTTP/1.1 500 No\r\ncontent-type: text/plain\r\n\r\n";
            Script::new().write(head).pour(vec![b'x'; 1 << 20], 192)
        }),
        answer("gzip_bomb", |way| {
            let bomb = bomb();
            let head = way.head() + "content-encoding: gzip\r\n" + &length(bomb.len());
            Script::new().write([head.as_bytes(), &bomb].concat())
        }),
        Row {
            live: true,
            ..answer("gzip_bomb_of_a_stream", |way| {
                let bomb = bomb();
                let head = way.head() + "content-encoding: gzip\r\n" + &length(bomb.len());
                Script::new().write([head.as_bytes(), &bomb].concat())
            })
        },
        stream("endless_line", |way| {
            let script = Script::new().write(way.head() + CHUNKED).write(piece(way.begin() + "data: "));
            script.pour(piece(vec![b'x'; 1 << 20]), 192)
        }),
        stream("endless_event", |way| {
            let script = Script::new().write(way.head() + CHUNKED).write(piece(way.begin()));
            script.pour(piece("data: x\n".repeat(100_000)), 192)
        }),
        stream("endless_head", |way| Script::new().write(way.head()).pour("x: y\r\n".repeat(100_000), 192)),
        body("body_in_chunks", |_| {
            let chunks = piece(vec![b' '; 1 << 20]).repeat(BODY_BYTES >> 20);
            ("transfer-encoding".to_owned(), [chunks, piece("  "), b"0\r\n\r\n".to_vec()].concat())
        }),
        body("body_that_is_a_bomb", |_| ("content-encoding".to_owned(), bomb())),
    ]
}

fn usual(body: &str) -> (String, Vec<u8>) {
    (String::new(), body.as_bytes().to_vec())
}

/// One after the other: each is measured alone.
type Shared = Arc<OnceLock<Mutex<World>>>;

pub(crate) fn trials(worlds: &Arc<Worlds>) -> Vec<Trial> {
    let shared: Shared = Arc::default();
    let mut trials = Vec::new();
    for (number, row) in rows().into_iter().enumerate() {
        let row = Arc::new(row);
        for other in [false, true] {
            let way = Way { other, live: row.live };
            let (row, worlds, shared) = (Arc::clone(&row), Arc::clone(worlds), Arc::clone(&shared));
            trials.push(Trial::test(format!("memory/{}//{}", row.name, way.name()), move || {
                let world = shared.get_or_init(|| Mutex::new(worlds.start(World::with(""))));
                worlds.start(run(&row, way, number, world))
            }));
        }
    }
    trials
}

async fn run(row: &Row, way: Way, number: usize, world: &Mutex<World>) -> Result<(), Failed> {
    let world = world.lock().await;
    let model = format!("memory.{number}.{}", way.format());
    // Everything that is made once is made.
    let answer = way.answer();
    world.provider.will(&model, Script::new().write(way.head() + &length(answer.len()) + &answer));
    let body = request(&format!("{}/{model}", way.format()), way.live, 0);
    ask(&world, &body, usual).await?;
    world.provider.will(&model, (row.script)(way));
    world.forget_peak()?;
    let before = world.memory("VmHWM")?;
    let text = ask(&world, &body, row.body).await?;
    let grown = world.memory("VmHWM")?.saturating_sub(before);
    if grown > 2 * row.allowed + AROUND {
        return Err(format!("it took {grown} bytes; {} are allowed", row.allowed).into());
    }
    if text.contains("[DONE]") || text.contains(KEY) || text.len() > 4_000 {
        return Err(format!("not refused: {text:.200}").into());
    }
    Ok(())
}

async fn ask(world: &World, body: &str, row: fn(&str) -> (String, Vec<u8>)) -> Result<String, Failed> {
    let (header, body) = row(body);
    let request = Request::new(world.addr(), "POST", "/v1/chat/completions");
    let request = match header.as_str() {
        "" => request.json(body),
        "transfer-encoding" => {
            request.header(&header, "chunked").header("content-type", "application/json").chunked(body)
        }
        _ => request.header(&header, "gzip").json(body),
    };
    let mut live = request.open().await;
    let text = live.rest().await.map_err(|_| "the answer broke off")?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
