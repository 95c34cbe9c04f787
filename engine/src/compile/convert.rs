//! Operators that make one value of one other value.

use super::mapping::find;
use super::scope::Compiler;
use crate::codes;
use crate::json::Decimal;
use crate::program::convert::{Convert, How};
use crate::program::ir::{Const, Node};
use crate::spec::yaml::{Key, Node as Yaml};
use std::sync::Arc;

impl<'s> Compiler<'s> {
    /// The node of such an operator, if it is one.
    pub(super) fn convert(
        &mut self,
        operator: &str,
        value: &'s Yaml,
        members: &'s [(Key, Yaml)],
        carry: bool,
    ) -> Option<Node> {
        let how = match operator {
            "$json_schema" => How::Schema(self.schema_rules(find(members, "$rules")?)?),
            "$entries" => How::Entries,
            "$unix_time" => How::UnixTime,
            "$split" => {
                let pattern = find(members, "$regex")?;
                let text = self.text_of("$regex", pattern)?;
                How::Split(Arc::new(self.within("$regex", |this| this.regex(pattern.at, text, false))?))
            }
            "$scale" => {
                let times = self.constant_number(members, "$times").unwrap_or(Decimal::ONE);
                let plus = self.constant_number(members, "$plus").unwrap_or(Decimal::ZERO);
                How::Scale { times, plus }
            }
            "$until" => How::Until {
                stops: self.argument(members, "$stops", false).unwrap_or(Node::Const(Const::Absent)),
                open: find(members, "$open").and_then(Yaml::as_bool) == Some(true),
            },
            "$base64" => How::ToBase64,
            "$join_base64" => How::JoinBase64,
            "$from_base64" => How::FromBase64(self.argument(members, "$default", carry)),
            _ => return None,
        };
        let (value, known) = self.within(operator, |this| this.known(value, carry));
        let other = if matches!(how, How::Schema(_)) { "schema" } else { "text" };
        let name = self.leaf_name(known).unwrap_or_else(|| other.into());
        Some(Node::Convert(Box::new(Convert { value, how, name })))
    }

    fn constant_number(&mut self, members: &'s [(Key, Yaml)], key: &str) -> Option<Decimal> {
        let value = find(members, key)?;
        let number = value.to_json().as_number().and_then(|number| Decimal::parse(&number.to_string()));
        if number.is_none() {
            self.error(
                codes::BAD_ARGUMENT,
                value.at,
                format!("`{key}` takes a number of not too many digits"),
            );
        }
        number
    }
}
