//! `new`: a provider spec of one's own, with a first case.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::Path;

use interlingua_engine::{Library, Program, Source, Spec};

use super::{Exit, error, line, shown, translate};
use crate::config::{Config, suggest};
use crate::gateway::Gateway;
use crate::library;
use crate::upstream::base_path;

/// Where own specs are written.
const FOLDER: &str = "providers";

/// Writes `./providers/NAME.yaml` and a case beside it.
pub(super) fn run(config: &Config, name: &str, parent: &str, out: &mut dyn Write) -> Result<Exit, String> {
    let library = Gateway::library(config).map_err(shown)?;
    let well_formed = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !well_formed {
        return Err(error(format!(
            "`{name}` is no name for a provider: small letters, digits and `-`, a letter first"
        )));
    }
    if library.spec(name).is_some() {
        return Err(error(format!("there already is a spec `{name}`")));
    }
    let Some(parent) = library.spec(parent) else {
        let known: Vec<&str> = library.specs().map(interlingua_engine::Spec::name).collect();
        let help = suggest(parent, known).unwrap_or_default();
        return Err(error(format!("there is no spec `{parent}` to extend\n  help: {help}")));
    };

    let spec = Path::new(FOLDER).join(format!("{name}.yaml"));
    let case = Path::new(FOLDER).join("cases").join(name).join("chat/hello");
    let secret =
        parent.variables().iter().find(|variable| variable.secret).map(|variable| variable.name.as_str());
    let text = spec_text(name, parent, secret);
    check(&spec, &text)?;
    create(&spec, &text)?;
    create(&case.join("case.yaml"), "title: a first greeting\nmodel: my-model\n")?;
    create(
        &case.join("request.in.json"),
        "{\n  \"model\": \"my-model\",\n  \"messages\": [{ \"role\": \"user\", \"content\": \"Hello\" }]\n}\n",
    )?;
    line(out, format!("wrote {} and {}", spec.display(), case.display()))?;
    line(out, format!("next: edit the spec, then `interlingua check {}`", spec.display()))?;
    line(out, format!("      and `interlingua test {} --update` to see what it sends", spec.display()))?;
    Ok(Exit::Fine)
}

fn spec_text(name: &str, parent: &Spec, secret: Option<&str>) -> String {
    // The paths of the operations are the parent's, so they stand behind what its address ends with.
    let program = parent.compile(&translate::placeholders(parent)).ok();
    let base = program.as_ref().and_then(Program::base_url).map_or("", base_path);
    let mut text = format!(
        "interlingua: 1\nprovider: {name}\ntitle: {name}\nstatus: experimental\nextends: {parent}\n\n\
         upstream:\n  url: https://api.{name}.example{base}    # the provider's address\n",
        parent = parent.name()
    );
    if let Some(secret) = secret {
        let env = name.to_ascii_uppercase().replace('-', "_");
        let _ = write!(text, "\nconfig:\n  {secret}: {{ env: {env}_{} }}\n", secret.to_ascii_uppercase());
    }
    text.push_str("\n# Everything else is as in the spec above. Say only what differs:\n# operations:\n#   chat:\n#     unsupported:\n#       reject: [logprobs]\n");
    text
}

/// What we write must be right before it is on the disk.
fn check(path: &Path, text: &str) -> Result<(), String> {
    let own = Source { path: path.display().to_string(), text: text.to_owned() };
    Library::load_beside(library::built_in(), [own]).map(drop).map_err(shown)
}

/// Never writes over what somebody else wrote.
fn create(path: &Path, text: &str) -> Result<(), String> {
    let cannot = |failure: std::io::Error| error(format!("cannot write `{}`: {failure}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(cannot)?;
    }
    let mut file = fs::File::create_new(path).map_err(cannot)?;
    file.write_all(text.as_bytes()).map_err(cannot)
}
