//! Every code that a mistake in a spec can have.
//!
//! Knows numbers and one line each; knows nothing of how a mistake is found or shown.
//! Ranges: 01xx the file and its YAML, 02xx structure, 03xx `extends` and names, 04xx values, paths and conditions,
//! 05xx operators, 06xx streams, 07xx the standard format, 08xx models, renames, configuration and settings.
//! A released number is never used again for something else.

use std::fmt;

/// The number of a kind of mistake, shown as `E0101`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

impl Code {
    /// The bare number: `101` for `E0101`.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// What the code means in one line; the text of the documentation's table.
    pub fn summary(self) -> &'static str {
        ALL.iter().find(|(code, _)| *code == self).map_or("", |(_, summary)| summary.trim_ascii())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E{:04}", self.0)
    }
}

macro_rules! codes {
    ($($(#[doc = $summary:literal])+ $name:ident = $number:literal;)+) => {
        $($(#[doc = $summary])+ pub(crate) const $name: Code = Code($number);)+

        /// Every code with its summary, by number.
        pub(crate) const ALL: &[(Code, &str)] = &[$((Code($number), concat!($($summary),+))),+];
    };
}

codes! {
    // 01xx: the file and its YAML
    /// the file is larger than a spec may be
    FILE_TOO_LARGE = 101;
    /// the text is not YAML
    YAML_SYNTAX = 102;
    /// a mapping has the same key twice
    DUPLICATE_KEY = 103;
    /// values are nested too deeply
    TOO_DEEP = 104;
    /// the file holds too many values, or its anchors are repeated too often
    TOO_MANY_NODES = 105;
    /// the key of a mapping is neither text, number nor boolean
    KEY_NOT_TEXT = 106;
    /// a number is too large or not finite
    NUMBER_RANGE = 107;
    /// the file holds nothing
    EMPTY_FILE = 108;
    /// the file holds more than one document
    SEVERAL_DOCUMENTS = 109;
    /// a YAML tag (`!name`) is used
    TAG = 110;
    /// a YAML alias (`*name`) has no anchor, or a merge key (`<<`) has no mapping
    ALIAS = 111;
    /// more files than can be loaded at once
    TOO_MANY_FILES = 112;

    // 02xx: structure
    /// a key that is not known at this place
    UNKNOWN_KEY = 201;
    /// a key that must be there is missing
    MISSING_KEY = 202;
    /// a value of another type is expected
    WRONG_TYPE = 203;
    /// a value that is not one of those allowed
    NOT_ALLOWED = 204;
    /// a name or text that is not written as it must be
    BAD_FORM = 205;
    /// a list or text that is too short, too long, or repeats itself; a number out of bounds
    BAD_SIZE = 206;
    /// the file is written in a version of the language that is not known here
    LANGUAGE_VERSION = 207;
    /// any other mistake of structure
    STRUCTURE = 299;

    // 03xx: extends and names
    /// `provider` is not the file's name
    FILE_NAME = 301;
    /// two files have the same provider name
    DUPLICATE_PROVIDER = 302;
    /// `extends` names a spec that does not exist
    UNKNOWN_PARENT = 303;
    /// specs extend each other in a circle
    EXTENDS_CYCLE = 304;
    /// the chain of `extends` is too long
    EXTENDS_DEPTH = 305;
    /// null removes a key that the parent does not have
    NOTHING_TO_REMOVE = 306;
    /// `via` names an operation that does not exist, or that itself goes through another
    BAD_VIA = 307;
    /// an operation lacks a key, or has keys that do not go together
    OPERATION_SHAPE = 308;
    /// a name that the gateway keeps for itself
    RESERVED_NAME = 309;
    /// an alternative of `auth` has several mechanisms, or can never be used
    AUTH_SHAPE = 310;
    /// `variants` chooses by a variable that cannot choose, or by a value that it does not have
    VARIANTS_SHAPE = 311;
    /// `variants` names a spec that does not exist
    UNKNOWN_VARIANT = 312;
    /// a variant leads back to its spec, or to a spec that chooses again
    VARIANT_CHOOSES = 313;

    // 04xx: values, paths, conditions, texts
    /// a path is not a `JSONPath` of the supported form
    BAD_PATH = 401;
    /// a condition is not an RFC 9535 filter expression
    BAD_CONDITION = 402;
    /// a text with holes is not a Handlebars text of the supported form
    BAD_TEXT = 403;
    /// a name that is not in scope here
    UNKNOWN_NAME = 404;
    /// a table that is not declared
    UNKNOWN_TABLE = 405;
    /// a fragment that is not declared
    UNKNOWN_FRAGMENT = 406;
    /// a fragment uses itself
    FRAGMENT_CYCLE = 407;
    /// an index that is not declared
    UNKNOWN_INDEX = 408;
    /// a configuration variable that is not declared
    UNKNOWN_VARIABLE = 409;
    /// a secret is read where secrets may not be
    SECRET_LEAK = 410;
    /// a loop variable or argument hides another name, or is not a name
    BAD_VARIABLE = 411;
    /// a path that yields a list stands where one value is needed
    LIST_PATH = 412;
    /// a mapping expands to more than the budget allows
    TOO_MUCH_WORK = 413;
    /// a value of the wrong type for its place
    WRONG_VALUE = 414;
    /// a regular expression does not compile
    BAD_REGEX = 415;
    /// the standard format has no such field
    UNKNOWN_FIELD = 416;

    // 05xx: operators
    /// an operator that does not exist
    UNKNOWN_OPERATOR = 501;
    /// an operator lacks an argument
    MISSING_ARGUMENT = 502;
    /// keys that do not go together in one operator
    MIXED_OPERATORS = 503;
    /// an argument of an operator is not of the form it must have
    BAD_ARGUMENT = 504;
    /// a table cannot be read backwards: a value occurs twice
    NOT_REVERSIBLE = 505;

    // 06xx: streams
    /// a stream never ends, or lacks what it reads from
    STREAM_SHAPE = 601;
    /// a state variable that is not declared
    UNKNOWN_STATE = 602;
    /// a step has keys that do not go together
    STEP_SHAPE = 603;

    // 07xx: the standard format
    /// a leaf that the standard request does not have
    UNKNOWN_LEAF = 701;
    /// a mapping writes a field that the standard answer does not have
    UNKNOWN_ANSWER_FIELD = 702;
    /// a leaf is both rejected and ignored
    LEAF_TWICE = 703;

    // 08xx: models, renames, configuration, settings
    /// the default of a configuration variable does not fit its declaration
    BAD_DEFAULT = 801;
    /// a secret has a default
    SECRET_DEFAULT = 802;
    /// a fact that is read is set by no rule of `models`
    UNKNOWN_FACT = 803;
    /// a glob or rule of `models` is not well formed
    BAD_MODEL_RULE = 804;
    /// a rule of `renames` is not well formed
    BAD_RENAME = 805;
    /// a setting that the spec does not declare
    UNKNOWN_SETTING = 806;
    /// a setting does not fit its declaration
    BAD_SETTING = 807;
    /// a required setting is missing
    MISSING_SETTING = 808;
    /// the allowed values of a configuration variable do not fit its type
    BAD_ENUM = 809;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_are_documented() {
        assert!(ALL.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(ALL.iter().all(|(code, summary)| (101..900).contains(&code.number()) && summary.len() > 9));
    }

    #[test]
    fn shown_with_four_digits() {
        assert_eq!(YAML_SYNTAX.to_string(), "E0102");
        assert_eq!(YAML_SYNTAX.summary(), "the text is not YAML");
    }
}
