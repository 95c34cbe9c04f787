//! Shared credentials files: sections in brackets, `name = value` lines. Knows no place on a disk.

use interlingua_engine::{Secret, SigningKey};

/// The key in a section of a file; the section is called `[name]` or `[profile name]`.
pub(super) fn key(text: &str, profile: &str) -> Option<SigningKey> {
    let value = |name: &str| member(text, profile, name).filter(|value| !value.is_empty());
    Some(SigningKey {
        id: value("aws_access_key_id")?.to_owned(),
        secret: Secret::new(value("aws_secret_access_key")?),
        session_token: value("aws_session_token").map(Secret::new),
    })
}

fn member<'t>(text: &'t str, profile: &str, name: &str) -> Option<&'t str> {
    let mut here = false;
    for line in text.lines() {
        let said = line.trim();
        if let Some(section) = said.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let section = section.trim();
            let section = section.strip_prefix("profile ").map_or(section, str::trim);
            here = section == profile;
        } else if here
            && !said.starts_with(['#', ';'])
            && !line.starts_with([' ', '\t']) // belongs to a nested setting
            && let Some((known, value)) = said.split_once('=')
            && known.trim() == name
        {
            return Some(value.trim());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::key;

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
}
