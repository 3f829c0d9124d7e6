//! User names and passwords for the mechanism PLAIN.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;
use subtle::ConstantTimeEq;

use super::SecretError;

/// Longest user name and longest password: their length is one byte on the wire.
const CREDENTIAL_BYTES_MAX: usize = 255;

/// Most users of one file. A fleet has a few; a list of thousands is some other file.
const USERS_MAX: usize = 4096;

/// Who may connect, with which password. The passwords appear in no log and no `Debug`.
pub struct Users(HashMap<Arc<str>, Password>);

/// Who we are towards a server.
pub struct Login {
    pub(super) user: Box<str>,
    pub(super) password: Box<str>,
}

/// A password behind its length, at a fixed size: a comparison takes the same time whatever differs.
struct Password([u8; 1 + CREDENTIAL_BYTES_MAX]);

impl Users {
    /// Reads one `user:password` per line; the password may contain further colons. Empty lines and lines that start with `#` are skipped.
    ///
    /// # Errors
    /// Names the first line that is wrong, and never its text.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let mut users = HashMap::new();
        for (line, content) in super::secrets(text) {
            let login = Login::parse(content).map_err(|what| SecretError { line, what })?;
            let password = Password::new(&login.password);
            if users.insert(Arc::from(login.user), password).is_some() {
                return Err(SecretError { line, what: "user listed twice" });
            }
            if users.len() > USERS_MAX {
                return Err(SecretError { line, what: "more than 4096 users" });
            }
        }
        if users.is_empty() {
            return Err(SecretError { line: 0, what: "no user listed: nobody could connect" });
        }
        Ok(Self(users))
    }

    /// The user, if the password is right.
    pub(super) fn check(&self, user: &str, password: &str) -> Option<Arc<str>> {
        let offered = Password::new(password);
        // An unknown user is compared too, with a password that nobody can have: its length is not one.
        let known = self.0.get_key_value(user);
        let nobody = Password([0; 1 + CREDENTIAL_BYTES_MAX]);
        let expected = known.map_or(&nobody, |(_, password)| password);
        let right = bool::from(expected.0.ct_eq(&offered.0));
        known.filter(|_| right).map(|(user, _)| Arc::clone(user))
    }
}

impl Login {
    /// Reads the only `user:password` of a text.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn read(text: &str) -> Result<Self, SecretError> {
        let mut lines = super::secrets(text);
        let Some((line, content)) = lines.next() else { return Err(SecretError { line: 0, what: "no user:password" }) };
        if let Some((line, _)) = lines.next() {
            return Err(SecretError { line, what: "more than one user:password" });
        }
        Self::parse(content).map_err(|what| SecretError { line, what })
    }

    fn parse(content: &str) -> Result<Self, &'static str> {
        let (user, password) = content.split_once(':').ok_or("no colon between user and password")?;
        let legal = |text: &str| !text.is_empty() && text.len() <= CREDENTIAL_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !legal(user) || !legal(password) {
            return Err("user and password are 1 to 255 printable ASCII characters without spaces");
        }
        Ok(Self { user: user.into(), password: password.into() })
    }
}

impl Password {
    fn new(text: &str) -> Self {
        let mut padded = [0; 1 + CREDENTIAL_BYTES_MAX];
        let text = &text.as_bytes()[..text.len().min(CREDENTIAL_BYTES_MAX)];
        padded[0] = u8::try_from(text.len()).expect("cut to 255 bytes");
        padded[1..=text.len()].copy_from_slice(text);
        // An empty password is nobody's: it must differ from the padding that stands for an unknown user.
        if text.is_empty() {
            padded[1] = 1;
        }
        Self(padded)
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("count", &self.0.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).field("password", &"redacted").finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_of_a_listed_user_opens() {
        let users = Users::parse("# fleet\nagent:secret\n\nother:with:colon\n").expect("valid");
        assert_eq!(users.check("agent", "secret").as_deref(), Some("agent"));
        assert_eq!(users.check("other", "with:colon").as_deref(), Some("other"));
        for (user, password) in [("agent", "secre"), ("agent", "secrets"), ("agent", ""), ("nobody", "secret"), ("nobody", ""), ("", "")] {
            assert_eq!(users.check(user, password), None, "{user}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_and_not_shown() {
        let wrong = |text: &str| Users::parse(text).expect_err("wrong");
        assert_eq!(wrong("a:b\nsecret-without-colon\n").line, 2);
        assert!(!wrong("secret-without-colon").to_string().contains("secret-without"));
        assert_eq!(wrong("a:b\na:c").what, "user listed twice");
        assert_eq!(wrong("a:").line, 1);
        assert_eq!(wrong(&format!("a:{}", "x".repeat(256))).line, 1);
        assert_eq!(wrong("# nothing\n").line, 0);
        assert_eq!(Login::read("a:b\nc:d").expect_err("two").line, 2);
    }

    #[test]
    fn debug_shows_no_password() {
        let text = format!("{:?} {:?}", Users::parse("agent:hunter2"), Login::read("agent:hunter2"));
        assert!(text.contains("agent") && !text.contains("hunter2"), "{text}");
    }
}
