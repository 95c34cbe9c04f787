//! Where in a request the walk is: a chain on the stack, written out only when somebody asks.

use std::fmt::{self, Display, Formatter};

/// Longest member name that is repeated to anybody, in characters.
const MAX_NAME: usize = 64;

/// A place in a request.
#[derive(Clone, Copy)]
pub(super) enum Path<'p> {
    Root,
    Member(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl Path<'_> {
    /// As in leaf names: `messages[].content`.
    pub(super) fn general(&self) -> impl Display {
        General(*self)
    }

    fn write(&self, f: &mut Formatter<'_>, indexes: bool) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Member(parent, name) => {
                parent.write(f, indexes)?;
                if !matches!(parent, Path::Root) {
                    f.write_str(".")?;
                }
                // The client chose the name: it must be fit for a header and for a log.
                name.chars().take(MAX_NAME).try_for_each(|letter| {
                    let plain = letter.is_ascii_graphic() && !matches!(letter, ',' | ';');
                    fmt::Write::write_char(f, if plain { letter } else { '?' })
                })
            }
            Path::Item(parent, index) => {
                parent.write(f, indexes)?;
                if indexes { write!(f, "[{index}]") } else { f.write_str("[]") }
            }
        }
    }
}

/// As in `param`: `messages[0].content`.
impl Display for Path<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write(f, true)
    }
}

struct General<'p>(Path<'p>);

impl Display for General<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.write(f, false)
    }
}
