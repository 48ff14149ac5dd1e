//! The HTTP client of a process: which certificates it trusts, and what it never does.
//!
//! ```text
//! SSL_CERT_FILE  >  the system's certificates  >  the bundled ones, where a system has none
//! ```

use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::ConfigVerifierExt;

use super::logins::Places;
use super::proxy::Proxies;
use super::{Fault, OriginError};
use crate::name::SafeUrl;
use crate::threads;

pub(crate) const USER_AGENT: &str = concat!("magic_module/", env!("CARGO_PKG_VERSION"));

/// A window as small as the default makes one big file wait for each round trip
/// (10 s instead of 2 at 20 ms and 1 Gbit/s).
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// What this user's settings give to requests.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Credentials by machine.
    pub netrc: Option<PathBuf>,
    /// The authorities to trust instead of the system's.
    pub certificates: Option<PathBuf>,
    /// Where else logins are found, for those who may use them.
    pub places: Arc<Places>,
}

/// Whom to trust: read once, and the same for every client of a process.
pub fn trust(certificates: Option<&Path>) -> Result<ClientConfig, OriginError> {
    // An error means that somebody else installed one: that serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut trust = match certificates {
        Some(path) => only(read(path)?),
        // A machine without a certificate store gets the bundled one.
        None => ClientConfig::with_platform_verifier().unwrap_or_else(|_| {
            only(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
        }),
    };
    trust.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(trust)
}

fn only(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// Redirects are judged one by one by the caller; a `Referer` could hold a token. Without
/// `proxies` every server is asked itself.
pub fn build(
    connect: Duration,
    trust: ClientConfig,
    proxies: Option<Proxies>,
) -> Result<Client, OriginError> {
    let builder = match proxies {
        None => Client::builder().no_proxy(),
        // The caller has seen to it that they are of use.
        Some(proxies) => Client::builder().proxy(reqwest::Proxy::custom(move |url| {
            let proxy = proxies.of(&SafeUrl::from(url.clone())).ok()??;
            Some(proxy.url.real().clone())
        })),
    };
    let client = builder
        .user_agent(USER_AGENT)
        .referer(false)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(connect)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .tls_backend_preconfigured(trust)
        .dns_resolver(Names)
        .build();
    client.map_err(|error| failed(&error, "check the proxy variables"))
}

/// The system's name service, asked also where no thread can be had for it.
struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let look = move || (name.as_str(), 0).to_socket_addrs();
            let found = threads::beside(look).await;
            let found = found.ok_or("the name service ended unexpectedly")??;
            Ok(Box::new(found) as Addrs)
        })
    }
}

/// Whoever names the certificates to trust wants no others: a file that is of no use is an error.
fn read(path: &Path) -> Result<RootCertStore, OriginError> {
    const HINT: &str = "set SSL_CERT_FILE to a file of certificates in PEM form, or unset it";
    let bytes = fs_err::read(path).map_err(|error| failed(&error, HINT))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).flatten());
    if roots.is_empty() {
        let why = format!("there is no certificate in {}", path.display());
        return Err(OriginError::new(Fault::Lasting, why, HINT));
    }
    Ok(roots)
}

fn failed(error: &dyn std::error::Error, hint: &'static str) -> OriginError {
    let why = format!("the HTTP client cannot be built: {}", root(error));
    OriginError::new(Fault::Lasting, why, hint)
}

fn root(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}
