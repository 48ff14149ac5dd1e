//! `gs://`: Google Cloud Storage, by its XML interface.
//!
//! ```text
//! GOOGLE_SERVICE_ACCOUNT, GOOGLE_SERVICE_ACCOUNT_KEY    a file, or its content
//! GOOGLE_APPLICATION_CREDENTIALS                        a file
//! gcloud auth application-default login                 what that left in the user's home
//! the machine's metadata service
//! ```

use object_store::client::HttpRequest;
use object_store::gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder, GoogleConfigKey as Key};
use reqwest::header::{AUTHORIZATION, HeaderName};

use super::refused::{missing, unreadable};
use super::{BoxFuture, Cloud, Connector, Door, OriginError, Store};
use super::{below, endpoint, header, is_on, retry, said, variable};
use crate::name::Digest;

/// Who pays where the one who asks does.
static PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

const VARIABLES: &[(&str, Key)] = &[
    ("GOOGLE_SERVICE_ACCOUNT", Key::ServiceAccount),
    ("GOOGLE_SERVICE_ACCOUNT_PATH", Key::ServiceAccount),
    ("GOOGLE_SERVICE_ACCOUNT_KEY", Key::ServiceAccountKey),
    ("GOOGLE_APPLICATION_CREDENTIALS", Key::ApplicationCredentials),
];

pub(super) fn open(bucket: &str, connector: Connector) -> Result<Store, OriginError> {
    let emulator = variable("STORAGE_EMULATOR_HOST");
    let named = variable("GOOGLE_BASE_URL").map(|text| (text, "GOOGLE_BASE_URL"));
    let named = named.or_else(|| Some((emulator.clone()?, "STORAGE_EMULATOR_HOST")));
    let base = match named {
        Some((text, name)) => {
            // Google's own tools take it without a scheme.
            let full = if text.contains("://") { text } else { format!("http://{text}") };
            endpoint(&full, name)?
        }
        None => endpoint("https://storage.googleapis.com", "the address")?,
    };
    let is_open = is_on("GOOGLE_SKIP_SIGNATURE")? || emulator.is_some();
    let door: Option<Box<dyn Door>> = if is_open {
        None
    } else {
        let builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(bucket)
            .with_retry(retry())
            .with_http_connector(connector);
        let configured =
            said(VARIABLES).fold(builder, |it, (key, value)| it.with_config(key, value));
        let store = configured.build().map_err(|_| unreadable(Cloud::Google))?;
        let project = variable("GOOGLE_CLOUD_QUOTA_PROJECT");
        Some(Box::new(Google { credentials: store.credentials().clone(), project }))
    };
    Ok(Store {
        cloud: Cloud::Google,
        base: below(base, bucket),
        door,
        region: None,
        may_be_plain: false,
        may_change: true,
    })
}

#[derive(Debug)]
struct Google {
    credentials: GcpCredentialProvider,
    project: Option<String>,
}

impl Door for Google {
    fn sign<'a>(
        &'a self,
        request: &'a mut HttpRequest,
        _: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<(), OriginError>> {
        Box::pin(async move {
            let credential = self.credentials.get_credential().await;
            let credential = credential.map_err(|error| missing(Cloud::Google, Some(&error)))?;
            if !credential.bearer.is_empty() {
                let bearer = header(&format!("Bearer {}", credential.bearer), "the token")?;
                request.headers_mut().insert(AUTHORIZATION, bearer);
            }
            if let Some(project) = &self.project {
                let project = header(project, "GOOGLE_CLOUD_QUOTA_PROJECT")?;
                request.headers_mut().insert(&PROJECT, project);
            }
            Ok(())
        })
    }
}
