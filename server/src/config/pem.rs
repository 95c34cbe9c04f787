//! Where a certificate or a key stands: the path of a PEM file, `{ file: PATH }`, or `{ env: NAME }`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Where PEM text is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// A file, relative to the config file; read again when it changes.
    File(String),
    /// An environment variable that holds the text itself.
    Env(String),
}

impl<'de> Deserialize<'de> for Pem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PemVisitor)
    }
}

struct PemVisitor;

impl<'de> Visitor<'de> for PemVisitor {
    type Value = Pem;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path of a PEM file, `{ file: PATH }` or `{ env: NAME }`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Pem, E> {
        // Whoever writes the text itself here is not quoted.
        if text.is_empty() || text.contains('\n') || text.contains("-----BEGIN") {
            return Err(E::invalid_value(de::Unexpected::Other("another text"), &self));
        }
        Ok(Pem::File(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pem, A::Error> {
        let unexpected = || de::Error::invalid_value(de::Unexpected::Other("another map"), &PemVisitor);
        let key: String = map.next_key()?.ok_or_else(unexpected)?;
        let value: String = map.next_value()?;
        if map.next_key::<String>()?.is_some() {
            return Err(unexpected());
        }
        match key.as_str() {
            "file" => Ok(Pem::File(value)),
            "env" => Ok(Pem::Env(value)),
            _ => Err(unexpected()),
        }
    }
}

impl Serialize for Pem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, value) = match self {
            Pem::File(path) => ("file", path),
            Pem::Env(name) => ("env", name),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(key, value)?;
        map.end()
    }
}

impl JsonSchema for Pem {
    fn schema_name() -> Cow<'static, str> {
        "Pem".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "PEM",
            "description": "Path of a PEM file, relative to the config file; or where the path or the text stands.",
            "examples": ["server.pem", { "file": "/run/secrets/server.key" }, { "env": "SERVER_KEY" }],
            "anyOf": [
                { "type": "string", "description": "Path of the file." },
                {
                    "type": "object",
                    "description": "A file.",
                    "properties": { "file": { "type": "string", "description": "Path of the file." } },
                    "required": ["file"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "description": "An environment variable.",
                    "properties": { "env": { "type": "string", "description": "Name of the variable that holds the text." } },
                    "required": ["env"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
