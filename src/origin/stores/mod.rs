//! Object stores: HTTP whose requests are signed with the credentials that their users have.
//!
//! ```text
//! s3://BUCKET/KEY      https://s3.REGION.amazonaws.com/BUCKET/KEY             amazon.rs, profile.rs
//! gs://BUCKET/KEY      https://storage.googleapis.com/BUCKET/KEY              google.rs
//! az://CONTAINER/KEY   https://ACCOUNT.blob.core.windows.net/CONTAINER/KEY    azure.rs
//! ```
//!
//! A store is opened at the first request for it: then the variables of its cloud are read. Only
//! credentials and signatures come from `object_store`; the requests are our own, so that proxies,
//! certificates, ranges, limits and retries are the same as for any server. What is asked for the
//! credentials themselves goes through `metadata.rs`, what a store refuses is put in words by
//! `refused.rs`, and `write.rs` is for publishing.

mod amazon;
mod azure;
mod google;
mod metadata;
mod profile;
mod refused;
mod write;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::{BackoffConfig, RetryConfig};
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::sync::OnceCell;
use url::Url;

use super::{BoxFuture, Fault, OriginError};
use crate::name::{Digest, SafeUrl};
use crate::settings;

pub(super) use metadata::Connector;
pub(super) use refused::refused;
pub use write::{Condition, Content, Put, Version};

/// What stands in a key as it is; a signature counts on all else being escaped.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Whose store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cloud {
    Amazon,
    Google,
    Azure,
}

impl Cloud {
    fn of(url: &SafeUrl) -> Option<Self> {
        match url.scheme() {
            "s3" => Some(Self::Amazon),
            "gs" => Some(Self::Google),
            "az" => Some(Self::Azure),
            _ => None,
        }
    }
}

/// Signs requests.
trait Door: fmt::Debug + Send + Sync {
    /// `payload` is what the body hashes to, where that is known.
    fn sign<'a>(
        &'a self,
        request: &'a mut HttpRequest,
        payload: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<(), OriginError>>;
}

/// One bucket, as this process may use it.
#[derive(Debug)]
pub(super) struct Store {
    pub cloud: Cloud,
    /// The bucket's address, with a slash at its end.
    base: Url,
    /// `None`: nobody has to say who he is.
    door: Option<Box<dyn Door>>,
    /// Where the bucket is asked for, if that has a name.
    pub region: Option<String>,
    /// Its address may be plain HTTP.
    pub may_be_plain: bool,
    /// Its credentials may be others when they are read again.
    pub may_change: bool,
}

/// A request as it is sent.
pub(super) struct Signed {
    pub url: SafeUrl,
    pub headers: HeaderMap,
}

impl Store {
    async fn open(url: &SafeUrl, connector: Connector) -> Result<Self, OriginError> {
        let Some(bucket) = url.real().host_str().filter(|bucket| !bucket.is_empty()) else {
            return Err(unusable("the address names no bucket", "write s3://BUCKET/PATH"));
        };
        if url.has_login() || url.real().port().is_some() {
            let why = "the address of a bucket has neither a login nor a port";
            return Err(unusable(
                why,
                "give credentials and endpoints in the cloud's own variables",
            ));
        }
        match Cloud::of(url) {
            Some(Cloud::Amazon) => amazon::open(bucket, connector).await,
            Some(Cloud::Google) => google::open(bucket, connector),
            Some(Cloud::Azure) => azure::open(bucket, connector),
            None => Err(unusable("it is in no object store", "use s3, gs or az")),
        }
    }

    /// True if whoever asks says who he is.
    pub fn is_signed(&self) -> bool {
        self.door.is_some()
    }

    pub async fn sign(
        &self,
        method: &Method,
        url: &SafeUrl,
        headers: HeaderMap,
        payload: Option<&Digest>,
    ) -> Result<Signed, OriginError> {
        let wrong = || unusable("its key makes no URL", "check the address");
        let target = self.address(url)?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method.clone();
        *request.uri_mut() = target.as_str().parse().map_err(|_| wrong())?;
        *request.headers_mut() = headers;
        if self.cloud == Cloud::Azure {
            azure::set_version(request.headers_mut());
        }
        if let Some(door) = &self.door {
            door.sign(&mut request, payload).await?;
        }
        let url = SafeUrl::new(&request.uri().to_string()).map_err(|_| wrong())?;
        Ok(Signed { url, headers: std::mem::take(request.headers_mut()) })
    }

    /// Below the bucket, whatever the key is.
    fn address(&self, url: &SafeUrl) -> Result<Url, OriginError> {
        let key = percent_decode_str(url.real().path().trim_start_matches('/'));
        let key = key.decode_utf8().map_err(|_| {
            unusable("its key is not valid Unicode", "name the object in another way")
        })?;
        if key.is_empty() || key.split('/').any(|part| part == "." || part == "..") {
            return Err(unusable("the address names no object", "add its path to the address"));
        }
        let mut address = self.base.clone();
        address.set_path(&format!("{}{}", self.base.path(), utf8_percent_encode(&key, PLAIN)));
        Ok(address)
    }
}

/// The stores that a process has opened, by scheme and bucket.
#[derive(Debug, Default)]
pub(super) struct Stores {
    open: Mutex<HashMap<String, Arc<OnceCell<Arc<Store>>>>>,
}

impl Stores {
    pub async fn of(
        &self,
        url: &SafeUrl,
        connector: impl FnOnce() -> Result<Connector, OriginError>,
    ) -> Result<Arc<Store>, OriginError> {
        let cell = self.open.lock().entry(place(url)).or_default().clone();
        let open = || async { Store::open(url, connector()?).await.map(Arc::new) };
        cell.get_or_try_init(open).await.cloned()
    }

    /// The next one who asks reads its credentials again.
    pub fn forget(&self, url: &SafeUrl) {
        self.open.lock().remove(&place(url));
    }
}

fn place(url: &SafeUrl) -> String {
    format!("{}://{}", url.scheme(), url.real().host_str().unwrap_or_default())
}

/// Of the environment, if it is set to something.
fn variable(name: &str) -> Option<String> {
    let text = settings::variable(name)?.into_string().ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Those of a cloud's variables that are set, each with what it is to `object_store`.
fn said<K: Copy>(variables: &[(&str, K)]) -> impl Iterator<Item = (K, String)> {
    variables.iter().filter_map(|(name, key)| Some((*key, variable(name)?)))
}

fn is_on(name: &str) -> Result<bool, OriginError> {
    match variable(name).map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("0" | "false" | "no" | "off") => Ok(false),
        Some("1" | "true" | "yes" | "on" | "requester") => Ok(true),
        Some(_) => Err(named(format!("{name} is neither true nor false"), format!("unset {name}"))),
    }
}

/// The address that a variable or a file gives for a bucket's service.
fn endpoint(text: &str, named_by: &str) -> Result<Url, OriginError> {
    let hint = format!("let {named_by} be a URL such as https://storage.example.org");
    let url = Url::parse(&format!("{}/", text.trim_end_matches('/')))
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none());
    url.ok_or_else(|| named(format!("{named_by} is not the URL of a service"), hint))
}

/// Its bucket, as a part of the path.
fn below(mut endpoint: Url, bucket: &str) -> Url {
    let path = format!("{}{}/", endpoint.path(), utf8_percent_encode(bucket, PLAIN));
    endpoint.set_path(&path);
    endpoint
}

/// A service for credentials is near, or is not there: nobody waits for it for long.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(500),
            base: 2.0,
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(10),
    }
}

/// A credential that cannot stand in a header was copied badly.
fn header(text: &str, what: &'static str) -> Result<HeaderValue, OriginError> {
    let value = HeaderValue::from_str(text).map(|mut value| {
        value.set_sensitive(true);
        value
    });
    value.map_err(|_| {
        let hint = "set it again, without line ends and other special characters";
        unusable(&format!("{what} holds what no request can carry"), hint)
    })
}

fn unusable(why: &str, hint: &'static str) -> OriginError {
    OriginError::new(Fault::Lasting, why, hint)
}

fn named(why: String, hint: String) -> OriginError {
    OriginError { hint: hint.into(), ..OriginError::new(Fault::Lasting, why, "") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<String, String> {
        let store = Store {
            cloud: Cloud::Amazon,
            base: below(Url::parse("https://s3.example/x/").unwrap(), "bucket"),
            door: None,
            region: None,
            may_be_plain: false,
            may_change: false,
        };
        let address = store.address(&SafeUrl::new(url).unwrap());
        address.map(|url| url.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn no_key_leads_out_of_its_bucket() {
        for (url, expected) in [
            ("s3://bucket/a/b.json", "https://s3.example/x/bucket/a/b.json"),
            ("s3://bucket/a%20b+c(1)", "https://s3.example/x/bucket/a%20b%2Bc%281%29"),
            ("s3://bucket/../a", "https://s3.example/x/bucket/a"),
            ("s3://bucket/a?b#c", "https://s3.example/x/bucket/a"),
            ("s3://bucket/a%3Fb", "https://s3.example/x/bucket/a%3Fb"),
        ] {
            assert_eq!(address(url).as_deref(), Ok(expected), "{url}");
        }
        for url in ["s3://bucket/a%2F..%2F..%2Fother/b", "s3://bucket/", "s3://bucket"] {
            assert_eq!(address(url).unwrap_err(), "the address names no object", "{url}");
        }
        assert!(address("s3://bucket/%FF").unwrap_err().contains("Unicode"));
    }
}
