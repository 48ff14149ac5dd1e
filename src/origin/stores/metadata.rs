//! Requests for credentials: to a cloud's metadata service, or to a service that gives tokens.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use rustls::ClientConfig;
use url::Host;

use super::super::answer::broken;
use super::super::proxy::Proxies;
use super::super::{BoxFuture, client};
use crate::name::SafeUrl;

/// It is in the same machine or rack, or nowhere.
const NEAR: Duration = Duration::from_secs(1);
const FAR: Duration = Duration::from_secs(10);
/// More than any token.
const LARGEST: usize = 1 << 20;

/// Makes these requests with the certificates and proxies of all others.
#[derive(Debug, Clone)]
pub(in super::super) struct Connector {
    pub trust: ClientConfig,
    pub proxies: Proxies,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Connector {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> BoxFuture<'b, Result<HttpResponse, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.ask(request))
    }
}

impl Connector {
    /// With connections of its own: it is asked once in an hour, from whatever thread.
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let said = |error: super::OriginError| failed(HttpErrorKind::Connect, &error.to_string());
        let url = SafeUrl::new(&request.uri().to_string())
            .map_err(|error| failed(HttpErrorKind::Unknown, &error.to_string()))?;
        let is_near = is_near(&url);
        let proxies = match is_near {
            false if self.proxies.of(&url).map_err(said)?.is_some() => Some(self.proxies.clone()),
            _ => None,
        };
        let limit = if is_near { NEAR } else { FAR };
        let client = client::build(limit, self.trust.clone(), proxies).map_err(said)?;
        let (parts, body) = request.into_parts();
        let body = body.as_bytes().cloned().unwrap_or_default();
        let request = client.request(parts.method, url.real().clone()).headers(parts.headers);
        let whole = async {
            let answer = request.body(body).send().await.map_err(broken)?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            read(answer).await.map(|bytes| (status, headers, bytes))
        };
        let late = |_| failed(HttpErrorKind::Timeout, "it does not answer");
        let answer = tokio::time::timeout(limit * 2, whole).await.map_err(late)?;
        let (status, headers, bytes) = answer.map_err(said)?;
        let mut response = HttpResponse::new(HttpResponseBody::from(bytes));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

async fn read(mut answer: reqwest::Response) -> Result<Bytes, super::OriginError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LARGEST {
            return Err(super::unusable("it answers more than any token holds", ""));
        }
    }
    Ok(bytes.into())
}

/// On this machine, on its link, or under the name that Google's machines know.
fn is_near(url: &SafeUrl) -> bool {
    match url.real().host() {
        Some(Host::Ipv4(address)) => address.is_link_local() || address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            address.is_unicast_link_local()
                || address.is_loopback()
                || is_unique_local(address.into())
        }
        Some(Host::Domain(name)) => {
            ["localhost", "metadata.google.internal", "metadata"].contains(&name)
        }
        None => false,
    }
}

/// Amazon's metadata service has such an address, too.
fn is_unique_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unique_local())
}

fn failed(kind: HttpErrorKind, why: &str) -> HttpError {
    HttpError::new(kind, std::io::Error::other(why.to_owned()))
}
