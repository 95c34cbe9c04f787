//! One row: a provider's fault, and what becomes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use interlingua_tests::client::{Answer, Request};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::dialect::{TEXT, WAYS, Way};
use crate::provider::Script;
use crate::world::{KEY, World, Worlds};

/// What the client sees.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The answer, as if nothing had happened.
    Exact,
    /// This status and code, in the standard format's envelope.
    Error(u16, &'static str),
    /// A stream that says that it failed, with this code, and does not claim to be done.
    Broken(&'static str),
}

use Outcome::{Broken, Error, Exact};

/// A fault of a provider.
#[derive(Clone)]
pub(crate) struct Fault {
    name: &'static str,
    script: fn(Way) -> Script,
    /// What becomes of whole answers; None if the fault is none there.
    plain: Option<Outcome>,
    live: Option<Outcome>,
    /// Only in this format, if it is said.
    only: Option<bool>,
    /// Word behind the name of the provider, for those that wait less, and those that are strange.
    at: &'static str,
    /// The provider's whole name in the config, if it is another one.
    instead: Option<&'static str>,
    /// What the answer takes at least and at most.
    time: (Duration, Duration),
    /// Text that the client must not see.
    hides: Option<&'static str>,
    /// Text that the client must see.
    shows: Option<&'static str>,
    /// The connection must not serve another request.
    spoils: bool,
    class: Option<&'static str>,
    body: usize,
    choices: usize,
}

/// A provider that answers at once is answered for at once, on a busy machine too.
const SOON: Duration = Duration::from_secs(15);

/// What a hasty provider may take: see the config in `world`.
pub(crate) const HASTY: Duration = Duration::from_millis(500);

/// What a time limit may be missed by, on a busy machine.
const SLACK: Duration = Duration::from_secs(4);

/// A fault that is told by `script`; its outcomes are still to be said.
pub(crate) fn fault(name: &'static str, script: fn(Way) -> Script) -> Fault {
    Fault {
        name,
        script,
        plain: None,
        live: None,
        only: None,
        at: "",
        instead: None,
        time: (Duration::ZERO, SOON),
        hides: None,
        shows: None,
        spoils: false,
        class: None,
        body: 0,
        choices: 1,
    }
}

impl Fault {
    /// What becomes of a whole answer.
    pub(crate) fn plain(self, outcome: Outcome) -> Fault {
        Fault { plain: Some(outcome), ..self }
    }

    /// What becomes of a stream.
    pub(crate) fn live(self, outcome: Outcome) -> Fault {
        Fault { live: Some(outcome), ..self }
    }

    /// Whole or live.
    pub(crate) fn both(self, outcome: Outcome) -> Fault {
        Fault { plain: Some(outcome.clone()), live: Some(outcome), ..self }
    }

    /// Harmless.
    pub(crate) fn exact(self) -> Fault {
        self.both(Exact)
    }

    /// 502 with this code.
    pub(crate) fn bad(self, code: &'static str) -> Fault {
        self.both(Error(502, code))
    }

    /// 502 with this code, or a broken stream.
    pub(crate) fn breaks(self, code: &'static str) -> Fault {
        self.plain(Error(502, code)).live(Broken(code))
    }

    /// The provider falls silent in the middle.
    pub(crate) fn idle(self) -> Fault {
        self.plain(Error(504, "upstream_idle")).live(Broken("upstream_idle"))
    }

    /// Nothing for the client was there before: a stream's failure has a status of its own.
    pub(crate) fn early(self) -> Fault {
        let live = match self.live {
            Some(Broken(code @ "upstream_idle")) => Some(Error(504, code)),
            Some(Broken(code)) => Some(Error(502, code)),
            other => other,
        };
        Fault { live, ..self }
    }

    /// Only where bytes pass.
    pub(crate) fn same(self) -> Fault {
        Fault { only: Some(false), ..self }
    }

    /// Only where they are translated.
    pub(crate) fn other(self) -> Fault {
        Fault { only: Some(true), ..self }
    }

    /// It takes as long as the gateway waits.
    pub(crate) fn in_time(self) -> Fault {
        Fault { at: "-hasty", time: (HASTY, HASTY + SLACK), ..self }
    }

    /// The gateway waits little, but need not.
    pub(crate) fn hasty(self) -> Fault {
        Fault { at: "-hasty", ..self }
    }

    /// Somebody else answers.
    pub(crate) fn at(self, at: &'static str) -> Fault {
        Fault { at, ..self }
    }

    /// A provider of another kind.
    pub(crate) fn at_all(self, name: &'static str) -> Fault {
        Fault { instead: Some(name), only: Some(true), ..self }
    }

    /// Not before and not after.
    pub(crate) fn takes(self, least: Duration) -> Fault {
        Fault { time: (least, least + SLACK), ..self }
    }

    /// The client must not see this.
    pub(crate) fn hides(self, text: &'static str) -> Fault {
        Fault { hides: Some(text), ..self }
    }

    /// The client must see this.
    pub(crate) fn shows(self, text: &'static str) -> Fault {
        Fault { shows: Some(text), ..self }
    }

    /// The connection is of no use any more.
    pub(crate) fn spoils(self) -> Fault {
        Fault { spoils: true, ..self }
    }

    /// The record's word, where it is not the usual one of the status.
    pub(crate) fn class(self, class: &'static str) -> Fault {
        Fault { class: Some(class), ..self }
    }

    /// The request is at least so large.
    pub(crate) fn request_of(self, bytes: usize) -> Fault {
        Fault { body: bytes, ..self }
    }

    /// The request is for so many choices.
    pub(crate) fn choices(self, choices: usize) -> Fault {
        Fault { choices, ..self }
    }

    /// A test for each way in which the fault is met.
    pub(crate) fn trials(self, worlds: &Arc<Worlds>) -> Vec<Trial> {
        let ways = WAYS.into_iter().filter(|way| self.only.is_none_or(|other| way.other == other));
        let ways = ways.filter(|way| if way.live { self.live.is_some() } else { self.plain.is_some() });
        ways.map(|way| {
            let (fault, worlds) = (self.clone(), Arc::clone(worlds));
            let name = format!("provider/{}//{}", self.name, way.name());
            Trial::test(name, move || worlds.run(fault.run(way, worlds.usual())))
        })
        .collect()
    }

    fn outcome(&self, way: Way) -> Outcome {
        let outcome = if way.live { &self.live } else { &self.plain };
        outcome.clone().expect("a trial has an outcome")
    }

    async fn run(&self, way: Way, world: &World) -> Result<(), Failed> {
        let model = format!("{}.{}", self.name.replace('/', "."), way.name().replace('/', "."));
        world.provider.will(&model, (self.script)(way));
        let name = match self.instead {
            Some(provider) => format!("{provider}/{model}"),
            None => format!("{}{}/{model}", way.format(), self.at),
        };
        let mut body = request(&name, way.live, self.body);
        if self.choices > 1 {
            body = body.replacen('{', &format!("{{\"n\":{},", self.choices), 1);
        }
        let begun = Instant::now();
        let answer = ask(world, &body).await?;
        let took = begun.elapsed();
        let seen = format!("{:?} {}", answer.head, answer.text());
        let wrong = |what: &str| Err(Failed::from(format!("{what}\nin {took:?}: {seen}")));
        if seen.contains(KEY) {
            return wrong("the key is shown");
        }
        if let Some(hidden) = self.hides.filter(|hidden| seen.contains(hidden)) {
            return wrong(&format!("`{hidden}` is shown"));
        }
        if let Some(missing) = self.shows.filter(|shown| !seen.contains(shown)) {
            return wrong(&format!("`{missing}` is not shown"));
        }
        if !(self.time.0..=self.time.1).contains(&took) {
            return wrong(&format!("expected to take {:?}", self.time));
        }
        let outcome = self.outcome(way);
        if let Err(problem) = check(&outcome, way, &answer) {
            return wrong(&format!("expected {outcome:?}: {problem}"));
        }
        let record = world.record(&name).await?;
        let (status, class) = match outcome {
            Exact => (200, None),
            Error(status, _) => (status, Some(self.class.unwrap_or(class_of(status)))),
            Broken(code) => (200, Some(self.class.unwrap_or(class_of_code(code)))),
        };
        if record["status"] != status || record["error_class"].as_str() != class {
            return wrong(&format!("expected status {status} and class {class:?} in {record}"));
        }
        if self.spoils {
            let first = world.provider.seen(&model);
            ask(world, &body).await?;
            let both = world.provider.seen(&model);
            let connections: Vec<usize> = both.iter().map(|seen| seen.connection).collect();
            if first.len() != 1 || both.len() != 2 || connections[0] == connections[1] {
                return wrong(&format!("expected two connections: {connections:?}"));
            }
        }
        Ok(())
    }
}

/// A chat request of the standard format.
pub(crate) fn request(model: &str, live: bool, bytes: usize) -> String {
    let text = "x".repeat(bytes);
    let mut body =
        json!({ "model": model, "messages": [{ "role": "user", "content": format!("Hello{text}") }] });
    if live {
        body["stream"] = json!(true);
    }
    body.to_string()
}

async fn ask(world: &World, body: &str) -> Result<Answer, Failed> {
    let request = Request::new(world.addr(), "POST", "/v1/chat/completions").json(body);
    let mut live = request.open().await;
    let body = live.rest().await.map_err(|_| "the answer to the client broke off")?;
    Ok(Answer { status: live.status, head: live.head.clone(), body })
}

fn check(outcome: &Outcome, way: Way, answer: &Answer) -> Result<(), String> {
    match outcome {
        Error(status, code) => {
            let (seen, said) = envelope(answer)?;
            let right = seen == *status && (code.is_empty() || said == *code);
            if right { Ok(()) } else { Err(format!("{seen} `{said}`")) }
        }
        Exact if way.live => exact_stream(answer),
        Exact => exact_answer(answer),
        Broken(code) => broken_stream(answer, code),
    }
}

/// Status and code of an error in the standard format's envelope.
fn envelope(answer: &Answer) -> Result<(u16, String), String> {
    let media = answer.header("content-type").unwrap_or_default();
    let body: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let error = body.get("error").ok_or("no `error`")?;
    let text = |name: &str| error[name].as_str().filter(|text| !text.is_empty());
    if media != "application/json" || text("message").is_none() || text("type").is_none() {
        return Err(format!("{} {media}, not the envelope", answer.status));
    }
    Ok((answer.status, text("code").unwrap_or_default().to_owned()))
}

fn exact_answer(answer: &Answer) -> Result<(), String> {
    let body: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let choice = &body["choices"][0];
    let right = answer.status == 200
        && choice["message"]["content"] == TEXT
        && choice["finish_reason"] == "stop"
        && body["usage"]["total_tokens"] == 5;
    if right { Ok(()) } else { Err(answer.status.to_string()) }
}

/// The data of all events.
fn events(answer: &Answer) -> Result<Vec<String>, String> {
    if answer.status != 200 || answer.header("content-type").as_deref() != Some("text/event-stream") {
        return Err(format!("{} and no stream", answer.status));
    }
    let text = std::str::from_utf8(&answer.body).map_err(|error| error.to_string())?;
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    for event in text.split_inclusive("\n\n") {
        let lines: Vec<&str> = event.trim_end().split('\n').collect();
        if !event.ends_with("\n\n") {
            return Err(format!("unfinished event `{event}`"));
        }
        let data: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|data| data.strip_prefix(' ').unwrap_or(data))
            .collect();
        if !data.is_empty() && !data.concat().is_empty() {
            events.push(data.join("\n"));
        }
    }
    Ok(events)
}

fn exact_stream(answer: &Answer) -> Result<(), String> {
    let events = events(answer)?;
    let Some(("[DONE]", chunks)) = events.split_last().map(|(last, rest)| (last.as_str(), rest)) else {
        return Err("no `[DONE]` at the end".to_owned());
    };
    let (mut text, mut finish) = (String::new(), Vec::new());
    for chunk in chunks {
        let chunk: Value = serde_json::from_str(chunk).map_err(|error| format!("{error}: {chunk}"))?;
        if !chunk["error"].is_null() {
            return Err("an error".to_owned());
        }
        let choice = &chunk["choices"][0];
        text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        finish.extend(choice["finish_reason"].as_str().map(str::to_owned));
    }
    if text == TEXT && finish == ["stop"] { Ok(()) } else { Err(format!("`{text}`, {finish:?}")) }
}

fn broken_stream(answer: &Answer, code: &str) -> Result<(), String> {
    let events = events(answer)?;
    if events.iter().any(|event| event.contains("[DONE]")) {
        return Err("it claims to be done".to_owned());
    }
    let last = events.last().ok_or("no events")?;
    let last: Value = serde_json::from_str(last).map_err(|error| format!("{error}: {last}"))?;
    let error = &last["error"];
    let said = error["code"].as_str().unwrap_or_default();
    if error["message"].as_str().is_none_or(str::is_empty) {
        return Err("no error at the end".to_owned());
    }
    if code.is_empty() || said == code { Ok(()) } else { Err(format!("code `{said}`")) }
}

fn class_of(status: u16) -> &'static str {
    match status {
        401 | 403 => "auth",
        404 => "not_found",
        408 | 504 => "timeout",
        429 => "rate_limit",
        503 | 529 => "overloaded",
        400..=499 => "invalid",
        _ => "server",
    }
}

fn class_of_code(code: &str) -> &'static str {
    if code == "upstream_idle" { "timeout" } else { "server" }
}
