//! Which proxy is asked instead of a server, as the environment says.
//!
//! ```text
//! https:    HTTPS_PROXY > https_proxy > ALL_PROXY > all_proxy      the first that is not empty
//! http:     HTTP_PROXY  > http_proxy  > ALL_PROXY > all_proxy
//! nobody:   this machine, and what NO_PROXY > no_proxy lists
//! ```
//!
//! A variable that cannot be used is an error as soon as it matters: if somebody names a proxy, no
//! request may go past it.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;

use url::{Host, Url};

use super::{Fault, OriginError};
use crate::name::SafeUrl;

/// The variables as they are; each is read when a request has to know.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    https: Option<Named>,
    http: Option<Named>,
    except: String,
}

/// A value and the variable that it comes from.
#[derive(Clone)]
struct Named {
    variable: &'static str,
    value: OsString,
}

/// The value may hold a password.
impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.variable)
    }
}

/// A proxy, and the variable that names it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// With its credentials.
    pub url: SafeUrl,
    /// For errors about it.
    pub variable: &'static str,
}

impl Proxies {
    pub(crate) fn read(get: impl Fn(&str) -> Option<OsString>) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|&variable| {
                let value = get(variable)?;
                let empty = value.to_str().is_some_and(|text| text.trim().is_empty());
                (!empty).then_some(Named { variable, value })
            })
        };
        let all = first(&["ALL_PROXY", "all_proxy"]);
        // A web server gives its programs the header `Proxy:` of a request under this name.
        let upper: &[&str] = if get("REQUEST_METHOD").is_some() { &[] } else { &["HTTP_PROXY"] };
        Self {
            https: first(&["HTTPS_PROXY", "https_proxy"]).or_else(|| all.clone()),
            http: first(upper).or_else(|| first(&["http_proxy"])).or(all),
            except: first(&["NO_PROXY", "no_proxy"])
                .map(|named| named.value.to_string_lossy().into_owned())
                .unwrap_or_default(),
        }
    }

    /// The proxy to ask for `url`; `None` if its server is asked itself.
    pub fn of(&self, url: &SafeUrl) -> Result<Option<Proxy>, OriginError> {
        let named = match url.scheme() {
            "https" => &self.https,
            "http" => &self.http,
            _ => return Ok(None),
        };
        match named {
            Some(named) if !url.is_loopback() && !excepts(&self.except, url.real()) => {
                let url = parse(&named.value).map_err(|why| wrong(named.variable, &why))?;
                Ok(Some(Proxy { url: url.into(), variable: named.variable }))
            }
            _ => Ok(None),
        }
    }
}

/// `http://proxy:8080`, also without the scheme, as other tools take it.
fn parse(value: &OsStr) -> Result<Url, String> {
    const NONE: &str = "is not the URL of a proxy";
    let text = value.to_str().ok_or("is not valid Unicode")?.trim();
    // A URL would be read past these.
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(NONE.to_owned());
    }
    let (bare, full) = match text.split_once("://") {
        Some(_) => (false, text.to_owned()),
        None => (true, format!("http://{}", text.strip_prefix("//").unwrap_or(text))),
    };
    let url = Url::parse(&full).map_err(|error| format!("{NONE} ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "names a proxy that speaks {}, and only proxies that speak http or https can be asked",
            url.scheme()
        ));
    }
    // What follows a `/`, `?` or `#` in a password is not part of the host any more.
    let cut = url.query().is_some() || url.fragment().is_some() || url.path().contains('@');
    if cut || (bare && url.path() != "/") || url.port() == Some(0) {
        return Err(NONE.to_owned());
    }
    Ok(url)
}

fn wrong(variable: &'static str, why: &str) -> OriginError {
    let hint = format!(
        "set {variable} to http://HOST:PORT (with `%XX` for special characters in a password), unset it, \
         or list the server in NO_PROXY"
    );
    let error = OriginError::new(Fault::Lasting, format!("{variable} {why}"), "");
    OriginError { hint: hint.into(), ..error }
}

/// True if `list` names the server of `url`: by its name or a domain above it, its address or
/// its network, with a port or without.
fn excepts(list: &str, url: &Url) -> bool {
    list.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|entry| !entry.is_empty())
        .any(|entry| entry == "*" || matches(entry, url) || matches_with_port(entry, url))
}

fn matches_with_port(entry: &str, url: &Url) -> bool {
    entry.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse().ok() == url.port_or_known_default() && matches(host, url)
    })
}

fn matches(entry: &str, url: &Url) -> bool {
    let address = match url.host() {
        None => return false,
        Some(Host::Domain(name)) => {
            let entry = entry.strip_prefix('*').unwrap_or(entry).trim_matches('.');
            // As the URL has it: in lower case, and in ASCII.
            return Host::parse(entry).is_ok_and(|entry| match entry {
                Host::Domain(entry) => is_below(name.trim_end_matches('.'), &entry),
                Host::Ipv4(_) | Host::Ipv6(_) => false,
            });
        }
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
    };
    let entry = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let (network, length) = match entry.split_once('/') {
        Some((network, length)) => (network, length.parse::<u32>().ok()),
        None => (entry, Some(128)),
    };
    match (network.parse(), address, length) {
        (Ok(IpAddr::V4(network)), IpAddr::V4(address), Some(length)) => {
            (network.to_bits() ^ address.to_bits()).leading_zeros() >= length.min(32)
        }
        (Ok(IpAddr::V6(network)), IpAddr::V6(address), Some(length)) => {
            (network.to_bits() ^ address.to_bits()).leading_zeros() >= length.min(128)
        }
        _ => false,
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who is asked for `url`, or why nobody is.
    fn asked(variables: &[(&str, &str)], url: &str) -> String {
        let proxies = Proxies::read(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        });
        match proxies.of(&SafeUrl::new(url).unwrap()) {
            Ok(None) => "its server".to_owned(),
            Ok(Some(proxy)) => proxy.url.real().to_string(),
            Err(error) => format!("{error}; {}", error.hint),
        }
    }

    #[test]
    fn every_spelling_of_a_proxy() {
        for (value, expected) in [
            ("http://proxy:8080", "http://proxy:8080/"),
            (" http://proxy:8080/\n", "http://proxy:8080/"),
            ("HTTPS://proxy/ignored", "https://proxy/ignored"),
            ("proxy:8080", "http://proxy:8080/"),
            ("//proxy:8080", "http://proxy:8080/"),
            ("me:pa%23ss@proxy:8080", "http://me:pa%23ss@proxy:8080/"),
            ("10.0.0.1", "http://10.0.0.1/"),
            ("[fe80::1]:3128", "http://[fe80::1]:3128/"),
            ("  ", "its server"),
        ] {
            assert_eq!(asked(&[("HTTPS_PROXY", value)], "https://a.example/"), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_an_error_that_names_the_variable() {
        for value in [
            "http://",
            "http://:8080",
            "http://proxy:port",
            "http://proxy:99999",
            "http://proxy:0",
            "http://pro\nxy:8080",
            "http:/proxy:8080",
            "http:proxy:8080",
            "\"http://proxy:8080\"",
            "http://a, http://b",
            "http://me:secret#@proxy:8080",
            "http://me:1/secret@proxy:8080",
            "http://me:1?secret@proxy:8080",
            "socks5://me:secret@proxy:1080",
            "socks4a://proxy",
            "socks://proxy",
            "ftp://proxy",
            "file:///proxy",
            "none",
        ] {
            for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
                let text = asked(&[(variable, value)], "https://a.example/");
                if value == "none" {
                    assert_eq!(text, "http://none/", "a host like any other");
                    continue;
                }
                assert!(text.starts_with(&format!("{variable} ")), "{value}: {text}");
                assert!(text.contains(&format!("; set {variable} to")), "{text}");
                assert!(!text.contains("secret"), "{text}");
            }
        }
    }

    #[test]
    fn a_variable_matters_where_it_is_asked() {
        let variables =
            [("HTTPS_PROXY", "secure"), ("ALL_PROXY", "socks5://x"), ("HTTP_PROXY", "")];
        assert_eq!(asked(&variables, "https://a.example/"), "http://secure/");
        assert!(asked(&variables, "http://a.example/").starts_with("ALL_PROXY names a proxy"));
        assert_eq!(asked(&variables, "http://127.0.0.1/"), "its server");
        let variables = [("HTTPS_PROXY", ""), ("https_proxy", "lower")];
        assert_eq!(asked(&variables, "https://a.example/"), "http://lower/");
        let variables = [("HTTP_PROXY", "header"), ("REQUEST_METHOD", "GET")];
        assert_eq!(asked(&variables, "http://a.example/"), "its server");
        let variables = [("HTTPS_PROXY", "socks5://x"), ("NO_PROXY", "a.example")];
        assert_eq!(asked(&variables, "https://a.example/"), "its server");
    }

    #[test]
    fn exceptions_are_names_addresses_and_networks() {
        let is_excepted =
            |list, url| asked(&[("ALL_PROXY", "proxy"), ("no_proxy", list)], url) == "its server";
        for (list, url) in [
            ("*", "https://a.example/"),
            ("other, A.example", "https://a.example/"),
            ("other a.example.", "https://a.example./"),
            (".example", "https://a.example/"),
            ("*.example", "https://a.example/"),
            ("a.example:8443", "https://a.example:8443/"),
            ("a.example:443", "https://a.example/"),
            ("bücher.example", "https://bücher.example/"),
            ("10.0.0.0/8", "http://10.1.2.3/"),
            ("10.1.2.3", "http://10.1.2.3/"),
            ("10.1.2.3:80", "http://10.1.2.3/"),
            ("0.0.0.0/0", "http://10.1.2.3/"),
            ("fe80::/10", "http://[fe80::1]/"),
            ("[fe80::1]", "http://[fe80::1]/"),
            ("[fe80::1]:80", "http://[fe80::1]/"),
        ] {
            assert!(is_excepted(list, url), "{list} {url}");
        }
        for (list, url) in [
            ("", "https://a.example/"),
            ("a.example", "https://ba.example/"),
            ("a.example:8443", "https://a.example/"),
            ("10.0.0.0/8", "http://11.1.2.3/"),
            ("10.0.0.0/many", "http://10.1.2.3/"),
            ("10.1.2.3", "http://10.1.2.4/"),
            (".", "https://a.example/"),
        ] {
            assert!(!is_excepted(list, url), "{list} {url}");
        }
    }
}
