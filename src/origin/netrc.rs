//! Credentials from a netrc file, as curl and others read it.
//!
//! ```text
//! machine files.example.org login me password "with a blank"   # a comment
//! ```
//!
//! Only entries that name a machine are used: `default` would be sent to whatever
//! host a manifest names. Nothing of the file is ever shown, not even in an error.

use std::fmt;
use std::iter::Peekable;
use std::path::Path;
use std::str::Chars;

/// What a machine wants to be told.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Login {
    /// Empty, if the file names none.
    pub login: String,
    /// In the clear: never shown.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login { .. }")
    }
}

/// Logins by machine, in the order of the file.
#[derive(Debug, Default)]
pub struct Netrc(Vec<(String, Login)>);

impl Netrc {
    /// A file that is not there or cannot be read has no entries.
    pub fn read(path: &Path) -> Self {
        fs_err::read(path)
            .map(|bytes| Self::parse(&String::from_utf8_lossy(&bytes)))
            .unwrap_or_default()
    }

    /// The first entry for `host`; with a `login`, the first for that one.
    pub fn find(&self, host: &str, login: &str) -> Option<&Login> {
        self.0
            .iter()
            .find(|(machine, entry)| {
                machine.eq_ignore_ascii_case(host) && (login.is_empty() || entry.login == login)
            })
            .map(|(_, entry)| entry)
    }

    /// Reads what it can; what is wrong is passed over.
    pub fn parse(text: &str) -> Self {
        // Some editors begin a file with a mark that says nothing of UTF-8.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut words = Words(text.chars().peekable());
        let mut entries: Vec<(String, Login)> = Vec::new();
        // What stands under `default`, or before the first machine, is for nobody.
        let mut nobody = Login::default();
        let mut named = false;
        while let Some(word) = words.key() {
            let entry = match entries.last_mut() {
                Some((_, entry)) if named => entry,
                _ => &mut nobody,
            };
            match word.as_str() {
                "machine" => {
                    named = true;
                    entries.push((words.value(), Login::default()));
                }
                "default" => named = false,
                "login" | "user" => entry.login = words.value(),
                "password" => entry.password = words.value(),
                "account" => drop(words.value()),
                "macdef" => words.skip_macro(),
                _ => {}
            }
        }
        Self(entries)
    }
}

struct Words<'a>(Peekable<Chars<'a>>);

impl Words<'_> {
    /// The next word where a keyword is expected; a comment reaches to the end of its line.
    fn key(&mut self) -> Option<String> {
        loop {
            self.skip_blanks();
            if *self.0.peek()? != '#' {
                return Some(self.value());
            }
            self.skip_line();
        }
    }

    /// The next word; a password may begin with `#`.
    fn value(&mut self) -> String {
        self.skip_blanks();
        let quoted = self.0.next_if_eq(&'"').is_some();
        let mut word = String::new();
        while let Some(letter) = self.0.next_if(|letter| quoted || !letter.is_whitespace()) {
            match letter {
                '"' if quoted => break,
                '\\' => word.extend(self.0.next()),
                _ => word.push(letter),
            }
        }
        word
    }

    fn skip_blanks(&mut self) {
        while self.0.next_if(|letter| letter.is_whitespace()).is_some() {}
    }

    /// True if there was anything in it.
    fn skip_line(&mut self) -> bool {
        let mut any = false;
        for letter in self.0.by_ref() {
            if letter == '\n' {
                break;
            }
            any |= !letter.is_whitespace();
        }
        any
    }

    /// A macro ends at an empty line; its text may look like entries.
    fn skip_macro(&mut self) {
        while self.skip_line() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(netrc: &'a Netrc, host: &str, login: &str) -> Option<(&'a str, &'a str)> {
        netrc.find(host, login).map(|entry| (entry.login.as_str(), entry.password.as_str()))
    }

    #[test]
    fn entries_in_every_notation() {
        let netrc = Netrc::parse(
            "# machine commented login a password b\n\
             machine one.example login me password p#1 # password of another time\n\
             machine two.example\n\tuser \"my self\"\n\taccount x\n\tpassword \"a \\\"b\\\\\"\n\
             machine one.example login other password p2\n\
             machine Three.Example password #p3\n",
        );
        assert_eq!(found(&netrc, "one.example", ""), Some(("me", "p#1")));
        assert_eq!(found(&netrc, "one.example", "other"), Some(("other", "p2")));
        assert_eq!(found(&netrc, "one.example", "nobody"), None);
        assert_eq!(found(&netrc, "two.example", ""), Some(("my self", "a \"b\\")));
        assert_eq!(found(&netrc, "three.example", ""), Some(("", "#p3")));
        assert_eq!(found(&netrc, "commented", ""), None);
        assert_eq!(found(&netrc, "example", ""), None);
    }

    #[test]
    fn a_default_entry_is_for_nobody_and_a_macro_is_no_entry() {
        let netrc = Netrc::parse(
            "macdef init\nmachine macro.example login a password b\n\n\
             machine one.example login me\n\
             default login anonymous password secret\n",
        );
        assert_eq!(found(&netrc, "macro.example", ""), None);
        assert_eq!(found(&netrc, "one.example", ""), Some(("me", "")));
        assert_eq!(found(&netrc, "default", ""), None);
        assert_eq!(netrc.0.len(), 1);
    }

    #[test]
    fn a_mark_that_an_editor_wrote_is_no_letter() {
        let netrc = Netrc::parse("\u{feff}machine one.example login me password p\r\n");
        assert_eq!(found(&netrc, "one.example", ""), Some(("me", "p")));
    }

    #[test]
    fn nothing_of_it_is_shown() {
        let netrc = Netrc::parse("machine one.example login canary password canary");
        assert!(!format!("{netrc:?}").contains("canary"));
    }

    #[test]
    fn broken_files_end() {
        for text in ["machine", "machine a login", "\"", "machine a password \"b\\", "macdef x\ny"]
        {
            let _ = Netrc::parse(text);
        }
        assert_eq!(found(&Netrc::parse("machine a password \"b\\"), "a", ""), Some(("", "b")));
    }
}
