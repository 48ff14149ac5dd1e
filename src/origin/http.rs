//! HTTP, through one client for a process.
//!
//! Redirects are followed here and not by the client: at most ten, never in a
//! circle, never from https to http or to another scheme.
//!
//! Credentials (of the URL, else of the netrc file, or for a lock what logins/ finds) belong to the origin that was
//! asked first: once a redirect has left it, none are sent any more, and none over plain HTTP beyond this machine.
//! This machine is never asked through a proxy: the proxy would get the credentials, and `localhost` would be the
//! proxy's own machine.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Client, Method};
use rustls::ClientConfig;

use super::answer::{broken, read};
use super::client::{self, Access};
use super::logins::Logins;
use super::netrc::{Login, Netrc};
use super::proxy::{Proxies, Proxy};
use super::redirect::{allowed, next, redirected};
use super::stores::{Connector, Store, Stores, refused};
use super::{BoxFuture, Fault, Freshness, Origin, OriginError, Part, Request, Response};
use crate::name::{Digest, SafeUrl};
use crate::policy::{Policy, USE_HTTPS};
use crate::settings;

const REDIRECTS: usize = 10;

/// Built at the first request: the system's certificates take 3 ms to load.
#[derive(Debug)]
pub struct Http {
    client: Mutex<Option<Client>>,
    /// Past every proxy.
    direct: Mutex<Option<Client>>,
    known: Arc<Known>,
    connect: Duration,
    headers: Duration,
}

/// What is read once, for all clients of a process.
#[derive(Debug, Default)]
struct Known {
    access: Access,
    trust: OnceLock<ClientConfig>,
    netrc: OnceLock<Netrc>,
    logins: OnceLock<Logins>,
    proxies: OnceLock<Proxies>,
    stores: Stores,
}

/// Whether the way so far has stayed at the origin that was asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    AtOrigin,
    Left,
}

impl Http {
    /// `connect` and `headers` are how long a connection and an answer may take.
    pub fn new(connect: Duration, headers: Duration, access: Access) -> Self {
        Self::over(Arc::new(Known { access, ..Known::default() }), connect, headers)
    }

    /// The same with connections of its own.
    pub fn beside(&self) -> Self {
        Self::over(self.known.clone(), self.connect, self.headers)
    }

    fn over(known: Arc<Known>, connect: Duration, headers: Duration) -> Self {
        Self { client: Mutex::default(), direct: Mutex::default(), known, connect, headers }
    }

    fn client(&self, url: &SafeUrl) -> Result<Client, OriginError> {
        let proxy = self.known.proxies().of(url)?;
        let place = if proxy.is_some() { &self.client } else { &self.direct };
        if let Some(client) = &*place.lock() {
            return Ok(client.clone());
        }
        let proxies = proxy.map(|_| self.known.proxies().clone());
        let client = client::build(self.connect, self.known.trust()?.clone(), proxies)?;
        Ok(place.lock().get_or_insert(client).clone())
    }

    /// Closes its connections: the idle ones now, the others when they have done their work.
    pub fn forget(&self) {
        for place in [&self.client, &self.direct] {
            *place.lock() = None;
        }
    }

    /// The request for `url`, with what may be told to its server; whether that is a login.
    async fn request(
        &self,
        url: &SafeUrl,
        way: Way,
        policy: Policy,
    ) -> Result<(reqwest::RequestBuilder, bool), OriginError> {
        if way == Way::Left || !is_private(url) {
            return Ok((self.client(url)?.get(url.without_credentials()), false));
        }
        let login = if policy.logins {
            self.known.logins().find(url, self.known.netrc()).await
        } else {
            self.known.of_netrc(url)
        };
        let client = self.client(url)?;
        Ok(match login {
            Some(entry) => {
                let request = client.get(url.without_credentials());
                (request.basic_auth(&entry.login, Some(&entry.password)), true)
            }
            // The client takes the URL's own credentials out of it.
            None => (client.get(url.real().clone()), url.has_login()),
        })
    }

    /// What an object store has. It sends nobody on: a redirect is a bucket in another place.
    async fn of_store(&self, request: Request<'_>) -> Result<Response, OriginError> {
        let url = request.url;
        let store = self.store(url).await?;
        let headers = conditions(request);
        let (builder, asked) =
            self.signed(&store, Method::GET, url, headers, None, request.policy).await?;
        request.sent.fetch_add(1, Ordering::Relaxed);
        let answer = self.answer(builder, &asked).await?;
        match answer.status().as_u16() {
            200 | 206 => {}
            304 if request.unless.is_some() => {}
            _ => return Err(self.refused(&store, url, answer).await),
        }
        let with_login = store.is_signed();
        read(answer, url, request).map(|it| Response { with_login, ..it })
    }

    /// The store that `url` lies in.
    pub(super) async fn store(&self, url: &SafeUrl) -> Result<Arc<Store>, OriginError> {
        let connector = || {
            let (trust, proxies) = (self.known.trust()?.clone(), self.known.proxies().clone());
            Ok(Connector { trust, proxies })
        };
        self.known.stores.of(url, connector).await
    }

    /// A request to a store, and where it goes.
    pub(super) async fn signed(
        &self,
        store: &Store,
        method: Method,
        url: &SafeUrl,
        headers: HeaderMap,
        payload: Option<&Digest>,
        policy: Policy,
    ) -> Result<(reqwest::RequestBuilder, SafeUrl), OriginError> {
        let signed = store.sign(&method, url, headers, payload).await?;
        if !store.may_be_plain && !policy.allows_scheme_of(&signed.url) {
            let why = "plain HTTP is allowed on this machine only";
            return Err(OriginError::new(Fault::Refused, why, USE_HTTPS));
        }
        let client = self.client(&signed.url)?;
        let builder = client.request(method, signed.url.real().clone()).headers(signed.headers);
        Ok((builder, signed.url))
    }

    /// What the store's refusal means. Credentials that have expired may be others by now.
    pub(super) async fn refused(
        &self,
        store: &Store,
        url: &SafeUrl,
        answer: reqwest::Response,
    ) -> OriginError {
        let error = refused(store, answer).await;
        if matches!(error.status, Some(400 | 401 | 403)) {
            self.known.stores.forget(url);
        }
        error
    }

    async fn follow(&self, request: Request<'_>) -> Result<Response, OriginError> {
        if request.url.is_in_object_store() {
            return self.of_store(request).await;
        }
        let mut seen = vec![request.url.clone()];
        let mut url = request.url.clone();
        let mut way = Way::AtOrigin;
        let mut with_login = false;
        loop {
            allowed(&url, request)?;
            let (answer, told) = self.send(&url, way, request).await?;
            with_login |= told;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return read(answer, &url, request).map(|it| Response { with_login, ..it });
            }
            url = next(&url, answer.headers())?;
            if seen.contains(&url) {
                return Err(redirected(format!("it redirects in a circle, to {url}")));
            }
            if seen.len() > REDIRECTS {
                return Err(redirected(format!("it redirects more than {REDIRECTS} times")));
            }
            if !url.is_same_origin(request.url) {
                way = Way::Left;
            }
            seen.push(url.clone());
        }
    }

    async fn send(
        &self,
        url: &SafeUrl,
        way: Way,
        request: Request<'_>,
    ) -> Result<(reqwest::Response, bool), OriginError> {
        request.sent.fetch_add(1, Ordering::Relaxed);
        let (builder, with_login) = self.request(url, way, request.policy).await?;
        let answer = self.answer(builder.headers(conditions(request)), url).await?;
        Ok((answer, with_login))
    }

    /// The head of the answer, if it comes in time.
    pub(super) async fn answer(
        &self,
        builder: reqwest::RequestBuilder,
        url: &SafeUrl,
    ) -> Result<reqwest::Response, OriginError> {
        self.answer_within(builder, url, self.headers).await
    }

    pub(super) async fn answer_within(
        &self,
        builder: reqwest::RequestBuilder,
        url: &SafeUrl,
        time: Duration,
    ) -> Result<reqwest::Response, OriginError> {
        match tokio::time::timeout(time, builder.send()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.not_sent(error, url)),
            Err(_) => {
                let limit = time.as_secs_f32();
                let why = format!("the server did not answer within {limit} s");
                Err(OriginError { silent: true, ..OriginError::temporary(why) })
            }
        }
    }

    /// Where a proxy was asked, it is the proxy that could not be reached.
    fn not_sent(&self, error: reqwest::Error, url: &SafeUrl) -> OriginError {
        let connecting = error.is_connect();
        let error = broken(error);
        match self.known.proxies().of(url) {
            Ok(Some(Proxy { url, variable })) if connecting && error.fault == Fault::Temporary => {
                let hint = format!("check the proxy {url} that {variable} names").into();
                OriginError { hint, ..error }
            }
            _ => error,
        }
    }
}

impl Known {
    fn trust(&self) -> Result<&ClientConfig, OriginError> {
        if let Some(trust) = self.trust.get() {
            return Ok(trust);
        }
        let trust = client::trust(self.access.certificates.as_deref())?;
        Ok(self.trust.get_or_init(|| trust))
    }

    fn proxies(&self) -> &Proxies {
        self.proxies.get_or_init(|| Proxies::read(settings::variable))
    }

    fn logins(&self) -> &Logins {
        self.logins.get_or_init(|| Logins::new(self.access.places.clone()))
    }

    fn of_netrc(&self, url: &SafeUrl) -> Option<Login> {
        let real = url.real();
        let host = real.host_str().filter(|_| real.password().is_none())?;
        let user = percent_decode_str(real.username()).decode_utf8_lossy();
        self.netrc().find(host, &user).cloned()
    }

    fn netrc(&self) -> &Netrc {
        self.netrc.get_or_init(|| self.access.netrc.as_deref().map(Netrc::read).unwrap_or_default())
    }
}

impl Origin for Http {
    fn get<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, OriginError>> {
        Box::pin(self.follow(request))
    }
}

/// What a request says about the bytes that it wants.
fn conditions(request: Request<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Compressed bytes are not the bytes that were pinned.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if request.freshness == Freshness::PastCaches {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    if let Some(known) = request.unless {
        insert(&mut headers, header::IF_NONE_MATCH, known.etag.as_deref());
        insert(&mut headers, header::IF_MODIFIED_SINCE, known.last_modified.as_deref());
    }
    if let Some(part) = request.part {
        let range = match part {
            Part::Rest(offset, _) => format!("bytes={offset}-"),
            Part::At(first, count) => format!("bytes={first}-{}", last_of(first, count)),
            Part::Last(count) => format!("bytes=-{count}"),
        };
        insert(&mut headers, header::RANGE, Some(&range));
        if let Part::Rest(_, validator) = part {
            insert(&mut headers, header::IF_RANGE, Some(validator));
        }
    }
    headers
}

/// Nobody on the way can read along.
pub(super) fn is_private(url: &SafeUrl) -> bool {
    url.scheme() == "https" || url.is_loopback()
}

fn last_of(first: u64, count: u64) -> u64 {
    first.saturating_add(count).saturating_sub(1)
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: Option<&str>) {
    if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
        headers.insert(name, value);
    }
}
