//! What is left out because nothing can come of it changes nothing: every request and every stream of the case folders,
//! and what a seeded generator makes of them, comes out the same with shortcuts and without.

#[path = "../../tests/common/mod.rs"]
mod common;

use crate::program::shortcuts::without;
use crate::{AnswerHead, Operation, Progress};
use common::{Rng, cases, encode, events, minimal, mutate, operations, recorded};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// All that a request comes to.
fn encoded(operation: &Operation, body: &Json, model: &str) -> Result<Vec<String>, String> {
    let mut encoded = encode(operation, body.to_string().as_bytes(), model).map_err(|refusal| {
        format!("{}: {} {:?}", refusal.message, refusal.param.unwrap_or_default(), refusal.code)
    })?;
    let body = String::from_utf8(std::mem::take(&mut encoded.body)).unwrap();
    let headers = encoded.headers.iter().map(|(name, value)| format!("{name}: {}", value.expose()));
    let mut all = vec![body, encoded.path.clone(), encoded.query.clone(), encoded.dropped.join(", ")];
    all.extend(headers);
    Ok(all)
}

/// The requests of all cases, by operation.
fn requests() -> Vec<(String, Json)> {
    let read = |(_, operation, folder): (String, String, std::path::PathBuf)| {
        let text = std::fs::read(folder.join("request.in.json")).ok()?;
        Some((operation, serde_json::from_slice(&text).ok()?))
    };
    cases().into_iter().filter_map(read).collect()
}

/// A request in which a few members are gone, empty, of another kind, or another request's.
fn varied(request: &Json, others: &[&Json], rng: &mut Rng) -> Json {
    let mut request = request.clone();
    let Some(members) = request.as_object_mut() else {
        return request;
    };
    for _ in 0..rng.below(4) {
        let other = others[rng.below(others.len())];
        let other = other.as_object().unwrap();
        let known: Vec<String> =
            if rng.one_in(2) { members.keys().cloned().collect() } else { other.keys().cloned().collect() };
        if known.is_empty() {
            continue;
        }
        let name = rng.pick(&known).clone();
        match rng.below(8) {
            0 => drop(members.remove(&name)),
            1 => drop(members.insert(name, Json::Null)),
            2 => {
                drop(members.insert(name, rng.pick(&[json!(0), json!(1), json!(false), json!(true)]).clone()))
            }
            3 => drop(
                members.insert(name, rng.pick(&[json!(""), json!([]), json!({}), json!("auto")]).clone()),
            ),
            4 => drop(members.insert(format!("x_{name}"), json!(1))),
            _ => drop(members.insert(name.clone(), other.get(&name).cloned().unwrap_or_else(|| json!("x")))),
        }
    }
    request
}

#[test]
fn requests_are_the_same_without_shortcuts() {
    let requests = requests();
    let mut tried = 0;
    for (place, (spec, operation)) in operations().into_iter().enumerate() {
        let mut rng = Rng::new(place as u64);
        let own: Vec<&Json> = requests
            .iter()
            .filter(|(name, request)| name == operation.name() && request.is_object())
            .map(|(_, request)| request)
            .collect();
        let smallest = minimal(operation.name());
        let own = if own.is_empty() { vec![&smallest] } else { own };
        for _ in 0..150 {
            let start = own[rng.below(own.len())];
            let request = varied(start, &own, &mut rng);
            let model = request["model"].as_str().unwrap_or("m").to_owned();
            let with = encoded(&operation, &request, &model);
            let all = without(|| encoded(&operation, &request, &model));
            assert_eq!(with, all, "{spec} {}: {request}", operation.name());
            tried += usize::from(with.is_ok());
        }
    }
    assert!(tried > 1000, "{tried} requests were translated");
}

/// What a stream comes to, and what its usage was after each event.
fn decoded(
    operation: &Arc<Operation>,
    exchange: &crate::Exchange,
    pieces: &[Vec<u8>],
) -> (String, Vec<String>, Progress) {
    let mut decoder = operation.stream(exchange.clone(), &AnswerHead { status: 200, headers: &[] });
    let mut out = Vec::new();
    let mut usages = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        decoder.feed(piece, &mut out);
        if place % 3 == 0 {
            usages.push(format!("{:?}", decoder.usage()));
        }
    }
    let progress = decoder.finish(&mut out);
    usages.push(format!("{:?}", decoder.usage()));
    (String::from_utf8_lossy(&out).into_owned(), usages, progress)
}

#[test]
fn streams_are_the_same_without_shortcuts() {
    let operations = operations();
    let mut counted = 0;
    for (place, recorded) in recorded().into_iter().enumerate() {
        let found =
            operations.iter().find(|(spec, it)| *spec == recorded.spec && it.name() == recorded.operation);
        let Some((spec, operation)) = found else {
            continue;
        };
        let mut request = recorded.request.clone();
        request["stream"] = json!(true);
        request["stream_options"] = json!({ "include_usage": true });
        let Ok(encoded) = encode(operation, request.to_string().as_bytes(), &recorded.model) else {
            continue;
        };
        let mut rng = Rng::new(place as u64);
        for round in 0..12 {
            let mut pieces = events(&recorded.bytes, recorded.ndjson);
            match round {
                0 => {}
                1 => rng.shuffle(&mut pieces),
                2 => pieces.extend(pieces.clone()),
                _ => (0..3).for_each(|_| {
                    let place = rng.below(pieces.len());
                    match rng.below(3) {
                        0 => pieces.insert(place, pieces[place].clone()),
                        1 => mutate(&mut pieces[place], &mut rng),
                        _ => pieces.swap(place, 0),
                    }
                }),
            }
            let with = decoded(operation, &encoded.exchange, &pieces);
            let all = without(|| decoded(operation, &encoded.exchange, &pieces));
            assert_eq!(with, all, "{spec}/{}/{}", recorded.operation, recorded.case);
            counted += usize::from(with.1.iter().any(|usage| usage.contains("Some")));
        }
    }
    assert!(counted > 300, "{counted} streams had usage");
}
