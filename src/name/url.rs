//! URLs, which show themselves without what may be secret: credentials, query and fragment.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, ParseError, Position, Url};

/// A URL as everybody may see it, and as a request needs it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SafeUrl(Url);

impl SafeUrl {
    /// Takes an absolute URL.
    pub fn new(text: &str) -> Result<Self, ParseError> {
        Url::parse(text).map(Self)
    }

    /// With its secrets: for whoever makes a request of it, and for nobody else.
    pub fn real(&self) -> &Url {
        &self.0
    }

    /// True if it has a user or a password in it.
    pub fn has_login(&self) -> bool {
        !self.0.username().is_empty() || self.0.password().is_some()
    }

    /// For a request whose credentials go in a header; the query stays.
    pub fn without_credentials(&self) -> Url {
        with_credentials(self.0.clone(), None)
    }

    /// Written out or relative, what `text` names on the same server is asked for with the
    /// same credentials.
    pub fn join(&self, text: &str) -> Result<Self, ParseError> {
        let url = self.0.join(text)?;
        let has_own = !url.username().is_empty() || url.password().is_some();
        let is_alike = !has_own && url.has_host() && url.origin() == self.0.origin();
        Ok(Self(if is_alike { with_credentials(url, Some(&self.0)) } else { url }))
    }

    /// Where a server sends its readers on to, with the credentials only if that is the same
    /// origin: what the server writes there itself is not sent to anybody.
    pub fn redirect(&self, location: &str) -> Result<Self, ParseError> {
        let mut url = self.0.join(location)?;
        url.set_fragment(None);
        let is_same = url.origin() == self.0.origin();
        Ok(Self(with_credentials(url, is_same.then_some(&self.0))))
    }

    /// The file beside it whose name goes on with `suffix`.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{suffix}", self.0.path()));
        Self(url)
    }

    /// `https`, `http`, `file`, or that of an object store; in lower case.
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// True if scheme, host and port are equal.
    pub fn is_same_origin(&self, other: &Self) -> bool {
        // Schemes that browsers do not know, as those of object stores, have no origin there.
        let place = |url: &Url| (url.scheme().to_owned(), url.port());
        self.0.origin() == other.0.origin()
            || (self.0.has_host()
                && self.0.host_str() == other.0.host_str()
                && place(&self.0) == place(&other.0))
    }

    /// True for a bucket's contents: `s3:`, `gs:` and `az:`.
    pub fn is_in_object_store(&self) -> bool {
        matches!(self.scheme(), "s3" | "gs" | "az")
    }

    /// The last part of the path, by which people know an artifact.
    pub fn file_name(&self) -> &str {
        self.0.path().rsplit('/').find(|part| !part.is_empty()).unwrap_or("/")
    }

    /// True for this machine, as far as a URL tells. Of names only `localhost` itself: those
    /// below it should be this machine, too, but many resolvers ask others for them.
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }
}

fn with_credentials(mut url: Url, from: Option<&Url>) -> Url {
    // Both fail for URLs that cannot hold credentials.
    let _ = url.set_username(from.map_or("", Url::username));
    let _ = url.set_password(from.and_then(Url::password));
    url
}

impl From<Url> for SafeUrl {
    fn from(url: Url) -> Self {
        Self(url)
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0[..Position::BeforeUsername])?;
        f.write_str(&self.0[Position::BeforeHost..Position::AfterPath])
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

/// What somebody wrote where a URL or a part of one belongs.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UrlText(String);

impl UrlText {
    /// Takes any text: whether it is a URL shows later.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it was written, with its secrets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UrlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(url) = SafeUrl::new(&self.0) {
            return url.fmt(f);
        }
        let end = self.0.find(['?', '#']).unwrap_or(self.0.len());
        let bare = &self.0[..end];
        f.write_str(bare.rsplit_once('@').map_or(bare, |(_, after)| after))
    }
}

impl fmt::Debug for UrlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> SafeUrl {
        SafeUrl::new(text).unwrap()
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = "https://me:secret@host:8/a/b.zip?token=secret#secret";
        assert_eq!(url(text).file_name(), "b.zip");
        for (text, shown) in [
            (text, "https://host:8/a/b.zip"),
            ("https://secret@host", "https://host/"),
            ("https://:secret@[::1]/?secret", "https://[::1]/"),
            ("file:///a/b%20c?secret", "file:///a/b%20c"),
            ("data:,x?secret", "data:,x"),
            ("web+x:/.//a@b?secret", "web+x:/.//a@b"),
        ] {
            assert_eq!(url(text).to_string(), shown);
            assert_eq!(format!("{:?}", url(text)), format!("{shown:?}"));
            assert_eq!(UrlText::new(text).to_string(), shown);
        }
        for (text, shown) in [
            ("//me:secret@host/a?secret", "host/a"),
            ("https://me:secret@[", "["),
            ("../a.py#secret", "../a.py"),
        ] {
            assert_eq!(UrlText::new(text).to_string(), shown);
            assert_eq!(format!("{:?}", UrlText::new(text)), format!("{shown:?}"));
        }
    }

    #[test]
    fn credentials_stay_at_their_origin() {
        let from = url("https://me:pw@a.example/x?token#part");
        for (to, joined, redirected) in [
            ("/y", "https://me:pw@a.example/y", "https://me:pw@a.example/y"),
            ("y?q#f", "https://me:pw@a.example/y?q#f", "https://me:pw@a.example/y?q"),
            ("https://a.example/y", "https://me:pw@a.example/y", "https://me:pw@a.example/y"),
            ("https://you:no@a.example/", "https://you:no@a.example/", "https://me:pw@a.example/"),
            ("https://b.example/y", "https://b.example/y", "https://b.example/y"),
            ("https://you:no@b.example/", "https://you:no@b.example/", "https://b.example/"),
            ("https://a.example:8/y", "https://a.example:8/y", "https://a.example:8/y"),
        ] {
            assert_eq!(from.join(to).unwrap().real().as_str(), joined);
            assert_eq!(from.redirect(to).unwrap().real().as_str(), redirected);
        }
        assert_eq!(from.without_credentials().as_str(), "https://a.example/x?token#part");
        assert_eq!(
            from.with_suffix(".s").real().as_str(),
            "https://me:pw@a.example/x.s?token#part"
        );
    }

    #[test]
    fn the_loopback_is_this_machine_only() {
        for (text, expected) in [
            ("http://127.0.0.1:80/", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("http://LOCALHOST/", true),
            ("http://localhost./", false),
            ("http://127.1/", true),
            ("http://app.localhost/", false),
            ("http://localhost.localhost/", false),
            ("http://localhost.example/", false),
            ("http://0.0.0.0/", false),
            ("http://127.0.0.1.example/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(url(text).is_loopback(), expected, "{text}");
        }
    }
}
