//! Shared credentials files: sections in brackets, `name = value` lines. Knows no place on a disk.

use interlingua_engine::{Secret, SigningKey};

/// A profile whose keys are had for a person's token, which a single sign-on has left on the disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SingleSignOn {
    pub(super) region: String,
    pub(super) account: String,
    pub(super) role: String,
    /// What the token's file is named after.
    pub(super) session: String,
}

/// The key in a section of a file; the section is called `[name]` or `[profile name]`.
pub(super) fn key(text: &str, profile: &str) -> Option<SigningKey> {
    let value = |name: &str| member(text, is(profile), name);
    Some(SigningKey {
        id: value("aws_access_key_id")?.to_owned(),
        secret: Secret::new(value("aws_secret_access_key")?),
        session_token: value("aws_session_token").map(Secret::new),
    })
}

/// The command in such a section that prints a key: its words, of which the first is the program.
pub(super) fn command(text: &str, profile: &str) -> Option<Vec<String>> {
    let command = words(member(text, is(profile), "credential_process")?);
    (!command.is_empty()).then_some(command)
}

/// The single sign-on of such a section.
pub(super) fn single_sign_on(text: &str, profile: &str) -> Option<SingleSignOn> {
    let value = |name: &str| member(text, is(profile), name);
    let (account, role) = (value("sso_account_id")?.to_owned(), value("sso_role_name")?.to_owned());
    let (session, region) = match value("sso_session") {
        Some(session) => {
            let named = format!("sso-session {session}");
            (session, member(text, |section| words_of(section) == named, "sso_region")?)
        }
        None => (value("sso_start_url")?, value("sso_region")?),
    };
    Some(SingleSignOn { region: region.to_owned(), account, role, session: session.to_owned() })
}

/// `[name]` or `[profile name]`.
fn is(profile: &str) -> impl Fn(&str) -> bool {
    move |section| section.strip_prefix("profile ").map_or(section, str::trim) == profile
}

fn words_of(section: &str) -> String {
    section.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn member<'t>(text: &'t str, is_it: impl Fn(&str) -> bool, name: &str) -> Option<&'t str> {
    let mut here = false;
    for line in text.lines() {
        let said = line.trim();
        if let Some(section) = said.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            here = is_it(section.trim());
        } else if here
            && !said.starts_with(['#', ';'])
            && !line.starts_with([' ', '\t']) // belongs to a nested setting
            && let Some((known, value)) = said.split_once('=')
            && known.trim() == name
        {
            return Some(value.trim()).filter(|value| !value.is_empty());
        }
    }
    None
}

/// Words as a shell tells them apart, with quotes and backslashes, and nothing else that a shell does.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::{SingleSignOn, command, key, single_sign_on};

    const FILE: &str = "\
# keys
[default]
aws_access_key_id = A1
aws_secret_access_key=s1
[ profile work ]
s3 =
  aws_access_key_id = no
aws_access_key_id=A2
aws_secret_access_key = s=2
aws_session_token = t2
[half]
aws_access_key_id = A3
;aws_secret_access_key = s3
[profile tool]
credential_process = \"/opt/key tool\" --for 'a \"b\"' c\\ d \"\"
[profile me]
sso_session = home
sso_account_id = 1
sso_role_name = r
[sso-session home]
sso_region = north-2
[profile old]
sso_start_url = https://start.example
sso_region = north-1
sso_account_id = 2
sso_role_name = q
";

    #[test]
    fn sections() {
        let seen = |profile: &str| {
            let key = key(FILE, profile)?;
            let token = key.session_token.map(|token| token.expose().to_owned());
            Some((key.id, key.secret.expose().to_owned(), token))
        };
        assert_eq!(seen("default"), Some(("A1".to_owned(), "s1".to_owned(), None)));
        assert_eq!(seen("work"), Some(("A2".to_owned(), "s=2".to_owned(), Some("t2".to_owned()))));
        assert_eq!(seen("half"), None);
        assert_eq!(seen("nobody"), None);
    }

    #[test]
    fn commands() {
        let words = command(FILE, "tool").unwrap();
        assert_eq!(words, ["/opt/key tool", "--for", "a \"b\"", "c d", ""]);
        assert_eq!(command(FILE, "work"), None);
    }

    #[test]
    fn sign_ons() {
        let one = |region: &str, account: &str, role: &str, session: &str| {
            let [region, account, role, session] = [region, account, role, session].map(str::to_owned);
            Some(SingleSignOn { region, account, role, session })
        };
        assert_eq!(single_sign_on(FILE, "me"), one("north-2", "1", "r", "home"));
        assert_eq!(single_sign_on(FILE, "old"), one("north-1", "2", "q", "https://start.example"));
        assert_eq!(single_sign_on(FILE, "tool"), None);
    }
}
