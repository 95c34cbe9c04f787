//! Clients that go away, or stop reading: the provider is let go at once, and nothing is kept for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use interlingua_tests::client::Request;
use interlingua_tests::http::Reader;
use libtest_mimic::{Failed, Trial};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::dialect::{CHUNKED, WAYS, Way, length, piece};
use crate::fault::request;
use crate::prompt::is_prompt;
use crate::provider::Script;
use crate::world::{World, Worlds};

/// Most that is kept for one client that does not read.
const HELD_BYTES: usize = 1 << 20;

/// A request that fits into no socket's buffer.
const LARGE: usize = 10 << 20;

/// When it goes.
#[derive(Clone, Copy, Debug)]
enum When {
    /// The provider has the request and is silent.
    Waiting,
    /// The provider has sent a head and half of its answer.
    Half,
    /// The provider is still reading the request.
    Writing,
}

/// Those whose outcome is a time.
pub(crate) fn timed(worlds: &Arc<Worlds>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for way in WAYS {
        for when in [When::Waiting, When::Half, When::Writing] {
            for reset in [false, true] {
                let worlds = Arc::clone(worlds);
                let how = if reset { "reset" } else { "closed" };
                let name = format!("gone/{how}_while_{when:?}//{}", way.name()).to_lowercase();
                trials.push(Trial::test(name, move || worlds.time(goes(worlds.usual(), way, when, reset))));
            }
        }
    }
    for way in WAYS {
        for (which, answered, behind) in PIPELINES {
            for reset in [false, true] {
                let worlds = Arc::clone(worlds);
                let how = if reset { "reset" } else { "closed" };
                let name = format!("gone/{how}_pipeline_{which}//{}", way.name());
                trials.push(Trial::test(name, move || {
                    worlds.time(leaves_pipeline(worlds.usual(), way, which, (answered, behind), reset))
                }));
            }
        }
    }
    trials
}

pub(crate) fn trials(worlds: &Arc<Worlds>) -> Vec<Trial> {
    let stops = |way: Way| {
        let worlds = Arc::clone(worlds);
        let name = format!("gone/stops_reading//{}", way.name());
        Trial::test(name, move || worlds.run(stops_reading(way)))
    };
    [WAYS[2], WAYS[3]].into_iter().map(stops).collect()
}

async fn goes(world: &World, way: Way, when: When, reset: bool) -> Result<(), Failed> {
    is_prompt(async |number| {
        let model = format!("gone.{when:?}.{reset}.{}.{number}", way.name().replace('/', "."));
        let script = match when {
            When::Half if way.live => {
                Script::new().write(way.head() + CHUNKED).write(piece(way.begin())).hold()
            }
            When::Half => Script::new().write(way.head() + CHUNKED).write(piece("{\"id\":")).hold(),
            When::Waiting | When::Writing => Script::new().hold(),
        };
        world.provider.will(&model, script);
        let writing = matches!(when, When::Writing);
        let name = format!("{}{}/{model}", way.format(), if writing { "-early" } else { "" });
        let body = request(&name, way.live, if writing { LARGE } else { 0 });
        let mut reader = Request::new(world.addr(), "POST", "/v1/chat/completions").json(&body).begin().await;
        world.provider.asked(&model).await?;
        if matches!(when, When::Half) && way.live {
            reader.head().await.ok_or("no head")?;
            reader.chunk().await.map_err(|_| "no chunk")?;
        } else {
            sleep(Duration::from_millis(30)).await;
        }
        if reset {
            reader.stream().set_zero_linger()?;
        }
        let left = Instant::now();
        drop(reader);
        // Only when the gateway has given up, the provider goes on reading.
        let given_up = if writing { Some(world.record(&name).await?) } else { None };
        world.provider.read_on(&model);
        let ended = world.provider.let_go(&model).await?;
        let record = match given_up {
            Some(record) => record,
            None => world.record(&name).await?,
        };
        if record["status"] != 499 || record["error_class"] != "client_closed" {
            return Err(format!("expected an abandoned request: {record}").into());
        }
        if writing {
            // Had the gateway not gone, it would have gone on.
            let read: usize = world.provider.seen(&model).iter().map(|seen| seen.body.len()).sum();
            return if read < LARGE { Ok(None) } else { Err("the request was sent to its end".into()) };
        }
        Ok(Some(ended.saturating_duration_since(left)))
    })
    .await
}

/// How many requests of a pipeline are answered, and how many come behind the one that is waited for.
const PIPELINES: [(&str, usize, usize); 3] = [("behind_one", 1, 0), ("before_one", 0, 1), ("amid", 1, 2)];

/// Several requests at once, and then nobody.
async fn leaves_pipeline(
    world: &World,
    way: Way,
    which: &str,
    (answered, behind): (usize, usize),
    reset: bool,
) -> Result<(), Failed> {
    is_prompt(async |number| {
        let model = format!("pipeline.{which}.{reset}.{}.{number}", way.name().replace('/', "."));
        let sound = Way { live: false, ..way };
        let served = format!("{model}.served");
        let answer = sound.answer();
        world.provider.will(&served, Script::new().write(sound.head() + &length(answer.len()) + &answer));
        world.provider.will(&model, Script::new().hold());
        let (last, first) = (format!("{}/{model}", way.format()), format!("{}/{served}", way.format()));
        let asks = |name: &str, live| {
            let body = request(name, live, 0);
            let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
            format!("{head}content-length: {}\r\n\r\n{body}", body.len())
        };
        let all = asks(&first, false).repeat(answered)
            + &asks(&last, way.live)
            + &asks(&first, false).repeat(behind);
        let mut reader = Reader::new(TcpStream::connect(world.addr()).await?);
        reader.stream().write_all(all.as_bytes()).await?;
        for _ in 0..answered {
            let head = reader.head().await.ok_or("no answer")?;
            reader.body(&head, false).await.map_err(|_| "half an answer")?;
        }
        world.provider.asked(&model).await?;
        sleep(Duration::from_millis(30)).await;
        if reset {
            reader.stream().set_zero_linger()?;
        }
        let left = Instant::now();
        drop(reader);
        let ended = world.provider.let_go(&model).await?;
        let record = world.record(&last).await?;
        if record["status"] != 499 || record["error_class"] != "client_closed" {
            return Err(format!("expected an abandoned request: {record}").into());
        }
        // What nobody waits for is not begun.
        if world.provider.seen(&served).len() != answered {
            return Err("what came behind was asked for".into());
        }
        Ok(Some(ended.saturating_duration_since(left)))
    })
    .await
}

/// Many clients that read the head of an endless stream and nothing else.
async fn stops_reading(way: Way) -> Result<(), Failed> {
    const CLIENTS: usize = 24;
    const BEFORE: usize = 12;
    let world = World::with("timeouts: { client_write: 5s }\n").await;
    let script = || {
        let event = piece(way.says(&"x".repeat(8_000)));
        Script::new().write(way.head() + CHUNKED).write(piece(way.begin())).pour(event, 10_000)
    };
    // Everything that is made once is made.
    let mut clients = Vec::new();
    for number in 0..BEFORE {
        clients.push(open(&world, way, &format!("before.{number}"), &script()).await?);
    }
    sleep(Duration::from_millis(700)).await;
    let before = world.memory("VmRSS")?;
    for number in 0..CLIENTS {
        clients.push(open(&world, way, &format!("stuck.{number}"), &script()).await?);
    }
    sleep(Duration::from_millis(1_500)).await;
    let held = world.memory("VmRSS")?.saturating_sub(before) / CLIENTS;
    if held > HELD_BYTES {
        return Err(format!("{held} bytes are held for each client").into());
    }
    for number in 0..CLIENTS {
        world.provider.let_go(&format!("stuck.{number}")).await?;
    }
    drop(clients);
    Ok(())
}

async fn open(world: &World, way: Way, model: &str, script: &Script) -> Result<Reader<TcpStream>, Failed> {
    world.provider.will(model, script.clone());
    let body = request(&format!("{}/{model}", way.format()), true, 0);
    let mut reader = Request::new(world.addr(), "POST", "/v1/chat/completions").json(&body).begin().await;
    reader.head().await.ok_or("no head")?;
    Ok(reader)
}
