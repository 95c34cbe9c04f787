//! Operators that make one value of one other value.

use super::scope::{Ran, Run, Stop};
use crate::base64;
use crate::json::Value;
use crate::program::convert::{Convert, How};

impl<'a> Run<'a> {
    pub(super) fn convert(&mut self, convert: &'a Convert) -> Ran<Value<'a>> {
        let value = self.eval(&convert.value)?;
        match &convert.how {
            How::ToBase64 => {
                let Some(text) = self.plain(value) else { return Ok(Value::Absent) };
                self.burn(text.len() / 8)?;
                Ok(Value::Text(self.arena.alloc_str(&base64::encode(text.as_bytes()))))
            }
            How::FromBase64 => {
                let Some(text) = self.plain(value) else { return Ok(Value::Absent) };
                self.burn(text.len() / 8)?;
                let text = base64::decode(text).and_then(|bytes| String::from_utf8(bytes).ok());
                let text = text.ok_or_else(|| {
                    let message = format!("`{}` is not the base64 of a text", convert.name);
                    Stop::refused(message, Some(&convert.name))
                })?;
                Ok(if text.is_empty() { Value::Absent } else { Value::Text(self.arena.alloc_str(&text)) })
            }
        }
    }
}
