//! `GET /v1/models`: what can be asked for by name. Aliases, and what the operator names under a
//! provider; a provider's own catalogue is not asked for.

use bytes::Bytes;
use http::Response;
use interlingua_engine::Refusal;
use serde::Serialize;

use crate::body::Answer;
use crate::gateway::{DEMO, Gateway, Provider};
use crate::respond::{Fault, json};

#[derive(Serialize)]
struct Model<'m> {
    id: &'m str,
    object: &'static str,
    created: u64,
    owned_by: &'m str,
    /// What its provider can be asked for; of an alias: what all of its targets can.
    operations: Vec<&'m str>,
}

#[derive(Serialize)]
struct List<'m> {
    object: &'static str,
    data: Vec<Model<'m>>,
}

/// Owner of the names that the operator invented.
const ALIAS_OWNER: &str = "interlingua";

/// Answers `GET /v1/models`.
pub(crate) fn list(gateway: &Gateway) -> Response<Answer> {
    let names = names(gateway);
    let data = names.iter().map(|(id, owner)| model(gateway, id, owner)).collect();
    answer(&List { object: "list", data })
}

/// Answers `GET /v1/models/{id}`.
pub(crate) fn one(gateway: &Gateway, id: &str) -> Response<Answer> {
    if gateway.aliases.contains_key(id) {
        return answer(&model(gateway, id, ALIAS_OWNER));
    }
    match gateway.select(id) {
        Ok(pick) => answer(&model(gateway, id, &pick.provider.name)),
        Err(refusal) => Fault::from(as_not_found(refusal)).response(),
    }
}

fn as_not_found(refusal: Refusal) -> Refusal {
    Refusal { status: 404, code: Some("model_not_found".to_owned()), ..refusal }
}

/// Id and owner, aliases first, then by provider.
fn names(gateway: &Gateway) -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> =
        gateway.aliases.keys().map(|alias| (alias.clone(), ALIAS_OWNER.to_owned())).collect();
    for provider in gateway.providers.values() {
        names.extend(
            provider.models.iter().map(|model| (format!("{}/{model}", provider.name), provider.name.clone())),
        );
    }
    names.extend(gateway.demo.keys().map(|spec| (format!("{DEMO}/{spec}"), DEMO.to_owned())));
    names
}

fn model<'m>(gateway: &'m Gateway, id: &'m str, owner: &'m str) -> Model<'m> {
    let operations = operations(gateway, id);
    Model { id, object: "model", created: gateway.started, owned_by: owner, operations }
}

fn operations<'m>(gateway: &'m Gateway, id: &'m str) -> Vec<&'m str> {
    let of = |provider: &'m Provider| provider.program.operations().map(|operation| operation.name());
    let Some(alias) = gateway.aliases.get(id) else {
        return gateway.select(id).map(|pick| of(pick.provider).collect()).unwrap_or_default();
    };
    let (first, others) = match alias.targets.split_first() {
        Some((first, others)) => (&first.provider, others),
        None => return Vec::new(),
    };
    let all = |name: &&str| others.iter().all(|other| other.provider.program.operation(name).is_some());
    of(first).filter(all).collect()
}

fn answer(value: &impl Serialize) -> Response<Answer> {
    match serde_json::to_vec(value) {
        Ok(body) => json(200, body),
        Err(_) => json(500, Bytes::new()), // writing to memory cannot fail
    }
}
