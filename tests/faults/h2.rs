//! Clients that speak HTTP/2, frame by frame, in clear text and over TLS: what they get wrong, and how they leave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use interlingua_tests::h2::{END_HEADERS, END_STREAM, Frame, PREFACE, Wire, fields, frame, head, kind};
use libtest_mimic::{Failed, Trial};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::dialect::{CHUNKED, WAYS, Way, length, piece};
use crate::fault::request;
use crate::prompt::is_prompt;
use crate::provider::Script;
use crate::world::{IMPATIENT, KEY, Stream, World, Worlds};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Reasons (RFC 9113 section 7).
const PROTOCOL: u32 = 1;
const FLOW: u32 = 3;
const FRAME_SIZE: u32 = 6;
const CANCEL: u32 = 8;
const CALM: u32 = 11;

/// What comes of it.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// The answer to stream 1 has this in its body; the connection lives on.
    Says(&'static str),
    /// Stream 1 is reset for this reason; the connection lives on.
    Resets(u32),
    /// The connection ends, with this reason. (The library has fewer of them than the standard.)
    Ends(u32),
}

use Outcome::{Ends, Resets, Says};

/// The usual request.
struct Ask {
    body: String,
}

impl Ask {
    /// Its head with more fields, or others.
    fn head(&self, more: &[(&str, &str)]) -> Vec<u8> {
        let all: Vec<(&str, &str)> = [JSON].iter().chain(more).copied().collect();
        frame(kind::HEADERS, END_HEADERS, 1, &head("POST", CHAT, &all))
    }

    fn body(&self) -> Vec<u8> {
        frame(kind::DATA, END_STREAM, 1, self.body.as_bytes())
    }

    /// All of it with these fields of the head.
    fn with(&self, more: &[(&str, &str)]) -> Vec<u8> {
        [self.head(more), self.body()].concat()
    }

    /// A head of nothing but these.
    fn of(&self, all: &[(&str, &str)]) -> Vec<u8> {
        [frame(kind::HEADERS, END_HEADERS, 1, &fields(all)), self.body()].concat()
    }

    /// A field that is said once and then costs a byte each further time.
    fn repeats(&self, times: usize) -> Vec<u8> {
        let mut payload = head("POST", CHAT, &[JSON]);
        payload.extend([0x40, 1, b'x', 120]);
        payload.extend([b'y'; 120]);
        payload.extend(vec![0xbe; times]);
        [frame(kind::HEADERS, END_HEADERS, 1, &payload), self.body()].concat()
    }

    fn sound(&self) -> Vec<u8> {
        self.with(&[])
    }
}

struct Row {
    name: &'static str,
    outcome: Outcome,
    say: fn(&Ask) -> Vec<u8>,
}

const METHOD: (&str, &str) = (":method", "POST");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", CHAT);
const HOST: (&str, &str) = (":authority", "gateway.test");
const SERVED: Outcome = Says("chat.completion");
const MALFORMED: Outcome = Resets(PROTOCOL);

fn rows() -> Vec<Row> {
    let row = |name, outcome, say| Row { name, outcome, say };
    vec![
        row("sound", SERVED, Ask::sound),
        // Heads (section 8.3).
        row("head/no_method", MALFORMED, |ask| ask.of(&[SCHEME, PATH, HOST, JSON])),
        row("head/no_scheme", MALFORMED, |ask| ask.of(&[METHOD, PATH, HOST, JSON])),
        row("head/no_path", MALFORMED, |ask| ask.of(&[METHOD, SCHEME, HOST, JSON])),
        row("head/empty_path", MALFORMED, |ask| ask.of(&[METHOD, SCHEME, (":path", ""), HOST, JSON])),
        row("head/two_methods", MALFORMED, |ask| ask.of(&[METHOD, METHOD, SCHEME, PATH, HOST, JSON])),
        row("head/two_paths", MALFORMED, |ask| ask.of(&[METHOD, SCHEME, PATH, PATH, HOST, JSON])),
        row("head/unknown_pseudo", Ends(PROTOCOL), |ask| {
            ask.of(&[METHOD, SCHEME, PATH, HOST, (":x", "y"), JSON])
        }),
        row("head/status", MALFORMED, |ask| ask.of(&[METHOD, SCHEME, PATH, HOST, (":status", "200"), JSON])),
        row("head/pseudo_behind_a_field", MALFORMED, |ask| ask.of(&[METHOD, SCHEME, HOST, JSON, PATH])),
        row("head/capitals", Ends(PROTOCOL), |ask| ask.with(&[("X-Words", "y")])),
        row("head/connection", MALFORMED, |ask| ask.with(&[("connection", "keep-alive")])),
        row("head/transfer_encoding", MALFORMED, |ask| ask.with(&[("transfer-encoding", "chunked")])),
        row("head/upgrade", MALFORMED, |ask| ask.with(&[("upgrade", "websocket")])),
        row("head/keep_alive", MALFORMED, |ask| ask.with(&[("keep-alive", "1")])),
        row("head/proxy_connection", MALFORMED, |ask| ask.with(&[("proxy-connection", "close")])),
        row("head/te", MALFORMED, |ask| ask.with(&[("te", "gzip")])),
        row("head/te_trailers", SERVED, |ask| ask.with(&[("te", "trailers")])),
        row("head/line_end_in_a_value", Ends(PROTOCOL), |ask| ask.with(&[("x-words", "a\r\nx-evil: b")])),
        row("head/nul_in_a_value", Ends(PROTOCOL), |ask| ask.with(&[("x-words", "a\0b")])),
        row("head/line_end_in_a_name", Ends(PROTOCOL), |ask| ask.with(&[("x\r\ny", "a")])),
        row("head/empty_name", Ends(PROTOCOL), |ask| ask.with(&[("", "a")])),
        row("head/line_end_in_the_path", MALFORMED, |ask| {
            ask.of(&[METHOD, SCHEME, (":path", "/v1/chat/completions HTTP/1.1\r\nx: y"), HOST, JSON])
        }),
        row("head/line_end_in_the_method", Ends(PROTOCOL), |ask| {
            ask.of(&[(":method", "POST / HTTP/1.1\r\n"), SCHEME, PATH, HOST, JSON])
        }),
        row("head/space_in_the_host", MALFORMED, |ask| {
            ask.of(&[METHOD, SCHEME, PATH, (":authority", "a b"), JSON])
        }),
        row("head/two_hosts", Says("invalid_host"), |ask| ask.with(&[("host", "a"), ("host", "b")])),
        row("head/too_large", Says("headers_too_large"), |ask| ask.repeats(200)),
        // Sixteen kilobytes that become megabytes.
        row("head/beyond_what_is_read", Ends(CALM), |ask| ask.repeats(15_000)),
        // Bodies.
        row("body/shorter_than_it_says", MALFORMED, |ask| ask.with(&[("content-length", "99999")])),
        row("body/longer_than_it_says", MALFORMED, |ask| ask.with(&[("content-length", "3")])),
        row("body/two_lengths", MALFORMED, |ask| {
            ask.with(&[("content-length", "3"), ("content-length", "4")])
        }),
        row("body/length_of_letters", MALFORMED, |ask| ask.with(&[("content-length", "many")])),
        row("body/of_right_length", SERVED, |ask| {
            ask.with(&[("content-length", &ask.body.len().to_string())])
        }),
        row("body/none", Says("not valid JSON"), |ask| {
            [ask.head(&[]), frame(kind::DATA, END_STREAM, 1, b"")].concat()
        }),
        row("body/padded", SERVED, |ask| {
            let padded = [&[9][..], ask.body.as_bytes(), &[0; 9]].concat();
            [ask.head(&[]), frame(kind::DATA, END_STREAM | PADDED, 1, &padded)].concat()
        }),
        row("body/more_padding_than_frame", Ends(PROTOCOL), |ask| {
            [ask.head(&[]), frame(kind::DATA, END_STREAM | PADDED, 1, b"\x09x")].concat()
        }),
        row("body/behind_its_end", Ends(PROTOCOL), |ask| [ask.sound(), ask.body()].concat()),
        row("body/trailers", SERVED, |ask| {
            let body = frame(kind::DATA, 0, 1, ask.body.as_bytes());
            let trailers = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &fields(&[("x-end", "y")]));
            [ask.head(&[]), body, trailers].concat()
        }),
        // Nobody reads trailers.
        row("body/trailers_with_a_path", SERVED, |ask| {
            let body = frame(kind::DATA, 0, 1, ask.body.as_bytes());
            let trailers = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &fields(&[PATH]));
            [ask.head(&[]), body, trailers].concat()
        }),
        // Frames.
        row("frame/data_without_a_request", Ends(PROTOCOL), |_| frame(kind::DATA, END_STREAM, 1, b"x")),
        row("frame/request_of_a_server", Ends(PROTOCOL), |_| {
            frame(kind::HEADERS, END_HEADERS | END_STREAM, 2, &head("GET", "/", &[]))
        }),
        row("frame/request_of_no_stream", Ends(PROTOCOL), |_| {
            frame(kind::HEADERS, END_HEADERS | END_STREAM, 0, &head("GET", "/", &[]))
        }),
        row("frame/continued_without_a_head", Ends(PROTOCOL), |_| {
            frame(kind::CONTINUATION, END_HEADERS, 1, &head("GET", "/", &[]))
        }),
        row("frame/something_between_a_head", Ends(PROTOCOL), |_| {
            let begun = frame(kind::HEADERS, END_STREAM, 1, &head("GET", "/", &[]));
            [begun, frame(kind::PING, 0, 0, &[0; 8])].concat()
        }),
        row("frame/too_large", Ends(FRAME_SIZE), |ask| {
            [ask.head(&[]), frame(kind::DATA, 0, 1, &[b' '; 20_000])].concat()
        }),
        row("frame/garbage_head", Ends(PROTOCOL), |_| {
            frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 40])
        }),
        row("frame/table_larger_than_allowed", Ends(PROTOCOL), |_| {
            frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &[0x3f, 0xff, 0xff, 0xff, 0x7f])
        }),
        row("frame/promise", Ends(PROTOCOL), |_| {
            let promise = [&[0, 0, 0, 2][..], &head("GET", "/", &[])].concat();
            frame(5, END_HEADERS, 1, &promise)
        }),
        row("frame/settings_of_a_stream", Ends(PROTOCOL), |_| frame(kind::SETTINGS, 0, 1, &[])),
        row("frame/settings_of_odd_length", Ends(PROTOCOL), |_| frame(kind::SETTINGS, 0, 0, &[0; 5])),
        row("frame/settings_with_a_huge_window", Ends(PROTOCOL), |_| {
            frame(kind::SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])
        }),
        row("frame/ping_of_odd_length", Ends(PROTOCOL), |_| frame(kind::PING, 0, 0, &[0; 7])),
        row("frame/ping_of_a_stream", Ends(PROTOCOL), |_| frame(kind::PING, 0, 1, &[0; 8])),
        row("frame/window_of_nothing", Ends(PROTOCOL), |_| frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4])),
        row("frame/window_overflows", Ends(FLOW), |_| {
            frame(kind::WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())
        }),
        row("frame/reset_of_nothing", Ends(PROTOCOL), |_| {
            frame(kind::RST_STREAM, 0, 7, &CANCEL.to_be_bytes())
        }),
        row("frame/reset_of_odd_length", Ends(PROTOCOL), |ask| {
            [ask.head(&[]), frame(kind::RST_STREAM, 0, 1, &[0; 3])].concat()
        }),
        row("frame/unknown_kind", SERVED, |ask| [frame(0x2a, 0xff, 0, b"x"), ask.sound()].concat()),
        row("frame/http_1", Ends(FRAME_SIZE), |_| b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(4)),
        // Who goes in order is served first.
        row("goodbye_behind_the_request", SERVED, |ask| {
            [ask.sound(), frame(kind::GOAWAY, 0, 0, &[0; 8])].concat()
        }),
    ]
}

/// A flag: there is padding.
const PADDED: u8 = 8;

type Run = Box<dyn FnOnce(&Worlds) -> Result<(), Failed> + Send>;

pub(crate) fn trials(worlds: &Arc<Worlds>) -> Vec<Trial> {
    let mut trials = Vec::new();
    let test = |name: String, secure, run| test(worlds, &name, secure, run);
    for secure in [false, true] {
        for row in rows() {
            let name = format!("{}//plain", row.name);
            trials.push(test(
                name,
                secure,
                Box::new(move |worlds| worlds.run(row.run(usual(worlds, secure)))),
            ));
        }
        for (name, begin) in BEGINNINGS {
            let run = move |worlds: &Worlds| {
                let world = if secure { worlds.secure_impatient() } else { worlds.impatient() };
                worlds.run(stalls(world, begin))
            };
            trials.push(test(format!("slow/{name}//plain"), secure, Box::new(run)));
        }
    }
    for way in [WAYS[2], WAYS[3]] {
        let run = move |worlds: &Worlds| worlds.run(opens_no_window(way));
        trials.push(test(format!("gone/opens_no_window//{}", way.name()), false, Box::new(run)));
    }
    trials
}

/// Those whose outcome is a time.
pub(crate) fn timed(worlds: &Arc<Worlds>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for secure in [false, true] {
        for way in WAYS {
            for (when, how) in LEAVINGS {
                let name = format!("gone/{how:?}_while_{when:?}//{}", way.name()).to_lowercase();
                let run =
                    move |worlds: &Worlds| worlds.time(leaves(usual(worlds, secure), way, when, how, secure));
                trials.push(test(worlds, &name, secure, Box::new(run)));
            }
        }
    }
    trials
}

fn test(worlds: &Arc<Worlds>, name: &str, secure: bool, run: Run) -> Trial {
    let worlds = Arc::clone(worlds);
    Trial::test(format!("h2/{name}{}", if secure { "/tls" } else { "" }), move || run(&worlds))
}

fn usual(worlds: &Worlds, secure: bool) -> &World {
    if secure { worlds.secure() } else { worlds.usual() }
}

impl Row {
    async fn run(self, world: &World) -> Result<(), Failed> {
        let way = Way { other: false, live: false };
        let model = format!("h2.{}.{}", world.secure, self.name.replace('/', "."));
        let answer = way.answer();
        world.provider.will(&model, Script::new().write(way.head() + &length(answer.len()) + &answer));
        let ask = Ask { body: request(&format!("same/{model}"), false, 0) };
        let mut wire = Wire::over(world.connect(&["h2"]).await?, &[]).await;
        // Who is refused may not be read to the end.
        wire.send((self.say)(&ask)).await;
        let seen = timeout(Duration::from_secs(15), self.watch(&mut wire)).await;
        let seen = seen.map_err(|_| format!("nothing comes of it; expected {:?}", self.outcome))?;
        seen.map_err(|seen| format!("expected {:?}: {seen}", self.outcome))?;
        let asked = world.provider.seen(&model).len();
        let served = matches!(self.outcome, Says("chat.completion"));
        // A second end of a request comes when the first one was taken.
        if asked != usize::from(served) && self.name != "body/behind_its_end" {
            return Err(format!("the provider was asked {asked} times").into());
        }
        Ok(())
    }

    /// Whether the outcome is the expected one; what it is if not.
    async fn watch(&self, wire: &mut Wire<Box<dyn Stream>>) -> Result<(), String> {
        let mut said = Vec::new();
        let mut all = Vec::new();
        let lives = loop {
            let Some(frame) = wire.frame().await else {
                return Err(format!("closed after {all:?}"));
            };
            all.push((frame.kind, frame.stream, frame.flags));
            let Frame { kind: this, flags, stream, payload } = frame;
            let reason = |at: usize| {
                let bytes = payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
                bytes.map_or(u32::MAX, u32::from_be_bytes)
            };
            match (this, self.outcome) {
                (kind::DATA, Says(text)) if stream == 1 => {
                    said.extend(payload);
                    if flags & END_STREAM != 0 {
                        let said = String::from_utf8_lossy(&said).into_owned();
                        break (said.contains(text) && !said.contains(KEY)).then_some(()).ok_or(said);
                    }
                }
                (kind::RST_STREAM, Resets(expected)) if stream == 1 && reason(0) == expected => break Ok(()),
                // An answer that was there before is nobody's loss.
                (kind::RST_STREAM, Ends(_)) => {}
                (kind::RST_STREAM, _) => return Err(format!("reset by {}", reason(0))),
                (kind::GOAWAY, Ends(expected)) if reason(4) == expected => {
                    while let Some(more) = wire.frame().await {
                        all.push((more.kind, more.stream, more.flags));
                    }
                    return Ok(());
                }
                (kind::GOAWAY, Says(_)) if self.name.starts_with("goodbye") => {}
                (kind::GOAWAY, _) => return Err(format!("ended by {} after {all:?}", reason(4))),
                _ => {}
            }
        };
        lives?;
        if self.name.starts_with("goodbye") {
            return Ok(());
        }
        wire.send(frame(kind::PING, 0, 0, b"12345678")).await;
        while let Some(frame) = wire.frame().await {
            if frame.kind == kind::PING && frame.payload == b"12345678" {
                return Ok(());
            }
        }
        Err("the connection does not live on".to_owned())
    }
}

/// When it goes.
#[derive(Clone, Copy, Debug)]
enum When {
    /// The provider has the request and is silent.
    Waiting,
    /// The provider has sent a head and half of its answer.
    Half,
}

/// How it goes.
#[derive(Clone, Copy, Debug)]
enum How {
    /// Its request only.
    Reset,
    /// With all of the connection.
    Closed,
    /// The same, with a word before.
    Goodbye,
}

const LEAVINGS: [(When, How); 6] = [
    (When::Waiting, How::Reset),
    (When::Waiting, How::Closed),
    (When::Waiting, How::Goodbye),
    (When::Half, How::Reset),
    (When::Half, How::Closed),
    (When::Half, How::Goodbye),
];

/// See `gone`.
const HELD_BYTES: usize = 1 << 20;

async fn leaves(world: &World, way: Way, when: When, how: How, secure: bool) -> Result<(), Failed> {
    is_prompt(async |number| {
        let model = format!("h2.gone.{when:?}.{how:?}.{secure}.{}.{number}", way.name().replace('/', "."));
        let script = match when {
            When::Half if way.live => {
                Script::new().write(way.head() + CHUNKED).write(piece(way.begin())).hold()
            }
            When::Half => Script::new().write(way.head() + CHUNKED).write(piece("{\"id\":")).hold(),
            When::Waiting => Script::new().hold(),
        };
        world.provider.will(&model, script);
        let name = format!("{}/{model}", way.format());
        let ask = Ask { body: request(&name, way.live, 0) };
        let mut wire = Wire::over(world.connect(&["h2"]).await?, &[]).await;
        wire.send(ask.sound()).await;
        world.provider.asked(&model).await?;
        if matches!(when, When::Half) && way.live {
            wire.next(kind::DATA).await.ok_or("no chunk")?;
        } else {
            sleep(Duration::from_millis(30)).await;
        }
        let left = Instant::now();
        let mut kept = None;
        match how {
            How::Reset => {
                wire.send(frame(kind::RST_STREAM, 0, 1, &CANCEL.to_be_bytes())).await;
                kept = Some(wire);
            }
            How::Closed => drop(wire),
            How::Goodbye => {
                wire.send(frame(kind::GOAWAY, 0, 0, &[0; 8])).await;
                // With TLS that is a farewell and the end.
                let _ = wire.stream().shutdown().await;
                drop(wire);
            }
        }
        let ended = world.provider.let_go(&model).await?;
        let record = world.record(&name).await?;
        if record["status"] != 499 || record["error_class"] != "client_closed" {
            return Err(format!("expected an abandoned request: {record}").into());
        }
        if let Some(mut wire) = kept {
            wire.send(frame(kind::PING, 0, 0, b"12345678")).await;
            wire.next(kind::PING).await.ok_or("the connection does not live on")?;
        }
        Ok(Some(ended.saturating_duration_since(left)))
    })
    .await
}

/// Beginnings that never become a request.
type Beginning = fn() -> Vec<u8>;

const BEGINNINGS: [(&str, Beginning); 5] = [
    ("half_a_preface", || PREFACE[..20].to_vec()),
    ("preface_only", || PREFACE.to_vec()),
    ("half_a_frame", || [PREFACE, b"\0\0\x0c\x04"].concat()),
    ("settings_only", || [PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat()),
    ("half_a_head", || {
        let begun = frame(kind::HEADERS, END_STREAM, 1, &head("GET", "/", &[]));
        [PREFACE, &frame(kind::SETTINGS, 0, 0, &[]), &begun].concat()
    }),
];

/// The connection ends in time.
async fn stalls(world: &World, begin: Beginning) -> Result<(), Failed> {
    let begun = Instant::now();
    let mut stream = world.connect(&["h2"]).await?;
    stream.write_all(&begin()).await?;
    stream.flush().await?;
    let mut rest = Vec::new();
    // However it ends.
    let ended = timeout(IMPATIENT + Duration::from_secs(8), stream.read_to_end(&mut rest)).await;
    let took = begun.elapsed();
    if ended.is_err() || took < IMPATIENT {
        return Err(format!("it took {took:?}, and {IMPATIENT:?} are allowed").into());
    }
    Ok(())
}

/// Many clients that want an endless stream and open no window for it.
async fn opens_no_window(way: Way) -> Result<(), Failed> {
    const CLIENTS: usize = 24;
    const BEFORE: usize = 12;
    let world = World::with("timeouts: { client_write: 5s }\n").await;
    let open = async |number: usize| -> Result<Wire<Box<dyn Stream>>, Failed> {
        let model = format!("h2.stuck.{number}");
        let event = piece(way.says(&"x".repeat(8_000)));
        let script = Script::new().write(way.head() + CHUNKED).write(piece(way.begin())).pour(event, 10_000);
        world.provider.will(&model, script);
        let ask = Ask { body: request(&format!("{}/{model}", way.format()), true, 0) };
        // A window of one byte.
        let mut wire = Wire::over(world.connect(&["h2"]).await?, &[(4, 1)]).await;
        wire.send(ask.sound()).await;
        wire.next(kind::HEADERS).await.ok_or("no head")?;
        Ok(wire)
    };
    // Everything that is made once is made.
    let mut clients = Vec::new();
    for number in 0..BEFORE {
        clients.push(open(number).await?);
    }
    sleep(Duration::from_millis(700)).await;
    let before = world.memory("VmRSS")?;
    for number in BEFORE..BEFORE + CLIENTS {
        clients.push(open(number).await?);
    }
    sleep(Duration::from_millis(1_500)).await;
    let held = world.memory("VmRSS")?.saturating_sub(before) / CLIENTS;
    if held > HELD_BYTES {
        return Err(format!("{held} bytes are held for each client").into());
    }
    // In the end they are cut off, and say what they are told.
    for number in BEFORE..BEFORE + CLIENTS {
        world.provider.let_go(&format!("h2.stuck.{number}")).await?;
    }
    let first = clients.first_mut().ok_or("no client")?;
    first.next(kind::RST_STREAM).await.ok_or("not reset")?;
    Ok(())
}
