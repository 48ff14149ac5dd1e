//! `az://`: containers of Azure Blob Storage, of the account that the environment names.
//!
//! ```text
//! AZURE_STORAGE_ACCOUNT_NAME    whose containers they are; also AZURE_STORAGE_ACCOUNT
//! AZURE_STORAGE_ACCOUNT_KEY     also AZURE_STORAGE_KEY
//! AZURE_STORAGE_SAS_TOKEN       what an account has signed
//! AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE
//! the machine's managed identity
//! ```

use object_store::azure::{
    AzureAuthorizer, AzureConfigKey as Key, AzureCredential, AzureCredentialProvider,
    MicrosoftAzureBuilder,
};
use object_store::client::HttpRequest;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::refused::{missing, unreadable};
use super::{BoxFuture, Cloud, Connector, Door, OriginError, Store};
use super::{below, endpoint, header, is_on, retry, said, unusable, variable};
use crate::name::Digest;

static VERSION: HeaderName = HeaderName::from_static("x-ms-version");

const VARIABLES: &[(&str, Key)] = &[
    ("AZURE_STORAGE_KEY", Key::AccessKey),
    ("AZURE_STORAGE_ACCOUNT_KEY", Key::AccessKey),
    ("AZURE_STORAGE_ACCESS_KEY", Key::AccessKey),
    ("AZURE_STORAGE_SAS_TOKEN", Key::SasKey),
    ("AZURE_STORAGE_SAS_KEY", Key::SasKey),
    ("AZURE_CLIENT_ID", Key::ClientId),
    ("AZURE_CLIENT_SECRET", Key::ClientSecret),
    ("AZURE_TENANT_ID", Key::AuthorityId),
    ("AZURE_AUTHORITY_HOST", Key::AuthorityHost),
    ("AZURE_FEDERATED_TOKEN_FILE", Key::FederatedTokenFile),
    ("IDENTITY_ENDPOINT", Key::MsiEndpoint),
];

/// Without it a server takes a request for one of its oldest clients.
pub(super) fn set_version(headers: &mut HeaderMap) {
    headers.insert(&VERSION, HeaderValue::from_static("2023-11-03"));
}

pub(super) fn open(container: &str, connector: Connector) -> Result<Store, OriginError> {
    let account = ["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"];
    let account = account.iter().find_map(|name| variable(name)).ok_or_else(|| {
        let why = "nobody said whose container it is";
        unusable(why, "set AZURE_STORAGE_ACCOUNT_NAME to the storage account")
    })?;
    let base = match variable("AZURE_STORAGE_ENDPOINT") {
        Some(text) => endpoint(&text, "AZURE_STORAGE_ENDPOINT")?,
        None => {
            let usual = format!("https://{account}.blob.core.windows.net");
            endpoint(&usual, "AZURE_STORAGE_ACCOUNT_NAME")?
        }
    };
    let door: Option<Box<dyn Door>> = if is_on("AZURE_SKIP_SIGNATURE")? {
        None
    } else {
        let builder = MicrosoftAzureBuilder::new()
            .with_account(&account)
            .with_container_name(container)
            .with_retry(retry())
            .with_http_connector(connector);
        let configured =
            said(VARIABLES).fold(builder, |it, (key, value)| it.with_config(key, value));
        let store = configured.build().map_err(|_| unreadable(Cloud::Azure))?;
        Some(Box::new(Azure { credentials: store.credentials().clone(), account }))
    };
    Ok(Store {
        cloud: Cloud::Azure,
        base: below(base, container),
        door,
        region: None,
        may_be_plain: is_on("AZURE_ALLOW_HTTP")?,
        may_change: true,
    })
}

#[derive(Debug)]
struct Azure {
    credentials: AzureCredentialProvider,
    account: String,
}

impl Door for Azure {
    fn sign<'a>(
        &'a self,
        request: &'a mut HttpRequest,
        _: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<(), OriginError>> {
        Box::pin(async move {
            let credential = self.credentials.get_credential().await;
            let credential = credential.map_err(|error| missing(Cloud::Azure, Some(&error)))?;
            if let AzureCredential::BearerToken(token) = &*credential {
                header(token, "the token")?;
            }
            header(&self.account, "AZURE_STORAGE_ACCOUNT_NAME")?;
            AzureAuthorizer::new(&credential, &self.account)
                .try_authorize(request)
                .map_err(|_| unusable("the request cannot be signed", "check the credentials"))
        })
    }
}
