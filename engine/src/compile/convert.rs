//! Operators that make one value of one other value.

use super::scope::Compiler;
use crate::program::convert::{Convert, How};
use crate::program::ir::Node;
use crate::spec::yaml::{Key, Node as Yaml};

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
            "$base64" => How::ToBase64,
            "$from_base64" => How::FromBase64,
            _ => return None,
        };
        let _ = members;
        let (value, known) = self.within(operator, |this| this.known(value, carry));
        let name = self.leaf_name(known).unwrap_or_else(|| "text".into());
        Some(Node::Convert(Box::new(Convert { value, how, name })))
    }
}
