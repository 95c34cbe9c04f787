//! Handlebars templates with blocks: rendered on exactly the values they name.

use super::scope::{Ran, Run, Stop};
use crate::json::{Value, write_value};
use crate::program::ir::Rendered;

/// The name under which a template is registered with its own registry.
pub(crate) const TEMPLATE: &str = "text";

impl<'a> Run<'a> {
    pub(super) fn render(&mut self, rendered: &'a Rendered) -> Ran<Value<'a>> {
        let mut context = serde_json::Map::new();
        for (root, members) in &rendered.roots {
            let mut values = serde_json::Map::new();
            for (name, path) in members {
                let value = self.read(path, Value::Absent)?;
                if value.is_absent() {
                    continue;
                }
                if let Some(carried) = path.carried(value) {
                    self.carry(carried);
                }
                if name.is_empty() {
                    context.insert(root.to_string(), self.plain_json(value)?);
                } else {
                    values.insert(name.to_string(), self.plain_json(value)?);
                }
            }
            if !values.is_empty() {
                context.insert(root.to_string(), serde_json::Value::Object(values));
            }
        }
        let context = serde_json::Value::Object(context);
        let text = rendered
            .registry
            .render(TEMPLATE, &context)
            .map_err(|_| Stop::refused("a prompt template failed", None))?;
        self.burn(text.len())?;
        if text.is_empty() {
            return Ok(Value::Absent);
        }
        Ok(Value::Text(self.arena.alloc_str(&text)))
    }

    fn plain_json(&mut self, value: Value<'a>) -> Ran<serde_json::Value> {
        let mut json = Vec::new();
        write_value(value, &mut json);
        self.burn(json.len())?;
        serde_json::from_slice(&json)
            .map_err(|_| Stop::refused("a value is too deep or too large for a prompt", None))
    }
}
