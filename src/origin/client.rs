//! The HTTP client of a process: which certificates it trusts, and what it never does.
//!
//! ```text
//! SSL_CERT_FILE  >  the system's certificates  >  the bundled ones, where a system has none
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, ClientBuilder};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Fault, OriginError};

pub const USER_AGENT: &str = concat!("magic_module/", env!("CARGO_PKG_VERSION"));

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
}

pub fn build(connect: Duration, certificates: Option<&Path>) -> Result<Client, OriginError> {
    // An error means that somebody else installed one: that serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hint = "check the proxy variables";
    if let Some(path) = certificates {
        return trusting(plain(connect), read(path)?).map_err(|error| failed(&error, hint));
    }
    // A machine without a certificate store gets the bundled one.
    plain(connect).build().or_else(|_| {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        trusting(plain(connect), roots).map_err(|error| failed(&error, hint))
    })
}

/// Redirects are judged one by one by the caller; a `Referer` could hold a token.
fn plain(connect: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .referer(false)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(connect)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
}

fn trusting(builder: ClientBuilder, roots: RootCertStore) -> reqwest::Result<Client> {
    let mut tls =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    builder.tls_backend_preconfigured(tls).build()
}

/// Whoever names the certificates to trust wants no others: a file that is of no use is an error.
fn read(path: &Path) -> Result<RootCertStore, OriginError> {
    const HINT: &str = "let SSL_CERT_FILE name a file of certificates in PEM form, or unset it";
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
