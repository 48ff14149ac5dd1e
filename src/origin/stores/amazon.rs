//! `s3://`: Amazon S3, and services with the same interface.
//!
//! ```text
//! AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN     the first that exists
//! AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN
//! the profile: AWS_PROFILE, else `default`
//! AWS_CONTAINER_CREDENTIALS_…
//! the machine's metadata service, unless AWS_EC2_METADATA_DISABLED=true
//! ```

use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::aws::{
    AmazonS3Builder, AmazonS3ConfigKey as Key, AwsAuthorizer, AwsCredential, AwsCredentialProvider,
};
use object_store::client::HttpRequest;
use reqwest::header::HeaderMap;
use url::Url;

use super::profile::{self, Profile};
use super::refused::{missing, unreadable};
use super::{BoxFuture, Cloud, Connector, Door, OriginError, Store};
use super::{below, endpoint, header, is_on, retry, said, unusable, variable};
use crate::name::Digest;

/// Where Amazon looks for a bucket whose region nobody told.
const REGION: &str = "us-east-1";

/// Variables that the builder reads the credentials from; ours are read here.
const VARIABLES: &[(&str, Key)] = &[
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Key::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Key::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Key::ContainerAuthorizationTokenFile),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", Key::MetadataEndpoint),
    ("AWS_ENDPOINT_URL_STS", Key::StsEndpoint),
    ("AWS_ROLE_SESSION_NAME", Key::RoleSessionName),
];

pub(super) async fn open(bucket: &str, connector: Connector) -> Result<Store, OriginError> {
    let profile = Profile::read()?;
    let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
    let region = first(&["AWS_REGION", "AWS_DEFAULT_REGION"])
        .or_else(|| profile.get("region"))
        .unwrap_or_else(|| REGION.to_owned());
    let base = base(bucket, &region, &profile)?;
    let mut may_change = true;
    let door: Option<Box<dyn Door>> = if is_on("AWS_SKIP_SIGNATURE")? {
        None
    } else {
        let own = own_credential()?;
        may_change = own.is_none();
        let credentials = match own {
            Some(own) => Arc::new(StaticCredentialProvider::new(own)),
            None => found(&profile, &region, connector).await?,
        };
        let pays = is_on("AWS_REQUEST_PAYER")?;
        Some(Box::new(Amazon { credentials, region: region.clone(), pays }))
    };
    let may_be_plain = is_on("AWS_ALLOW_HTTP")?;
    let region = Some(region);
    Ok(Store { cloud: Cloud::Amazon, base, door, region, may_be_plain, may_change })
}

/// Where the bucket is.
fn base(bucket: &str, region: &str, profile: &Profile) -> Result<Url, OriginError> {
    let named = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
    let named = named.iter().find_map(|name| Some((variable(name)?, *name)));
    let named = named.or_else(|| Some((profile.get("endpoint_url")?, "endpoint_url")));
    let is_virtual = is_on("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")?;
    match named {
        // The bucket is in it.
        Some((text, name)) if is_virtual => endpoint(&text, name),
        Some((text, name)) => Ok(below(endpoint(&text, name)?, bucket)),
        None if is_virtual => {
            endpoint(&format!("https://{bucket}.s3.{region}.amazonaws.com"), "the address")
        }
        None => {
            let service = endpoint(&format!("https://s3.{region}.amazonaws.com"), "AWS_REGION")?;
            Ok(below(service, bucket))
        }
    }
}

fn own_credential() -> Result<Option<AwsCredential>, OriginError> {
    match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        (Some(key_id), Some(secret_key)) => {
            Ok(Some(AwsCredential { key_id, secret_key, token: variable("AWS_SESSION_TOKEN") }))
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err(unusable(
            "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not",
            "set AWS_SECRET_ACCESS_KEY, too, or unset AWS_ACCESS_KEY_ID",
        )),
        (None, Some(_)) => Err(unusable(
            "AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID is not",
            "set AWS_ACCESS_KEY_ID, too, or unset AWS_SECRET_ACCESS_KEY",
        )),
    }
}

/// What is not in the environment itself.
async fn found(
    profile: &Profile,
    region: &str,
    connector: Connector,
) -> Result<AwsCredentialProvider, OriginError> {
    let role = (variable("AWS_WEB_IDENTITY_TOKEN_FILE"), variable("AWS_ROLE_ARN"));
    let (file, role) = match role {
        (Some(file), Some(role)) => (Some(file), Some(role)),
        _ => match profile.credential().await? {
            Some(profile::Found::Credential(own)) => {
                return Ok(Arc::new(StaticCredentialProvider::new(own)));
            }
            Some(profile::Found::WebIdentity { file, role }) => (Some(file), Some(role)),
            None => (None, None),
        },
    };
    let has_container = ["RELATIVE_URI", "FULL_URI"]
        .iter()
        .any(|it| variable(&format!("AWS_CONTAINER_CREDENTIALS_{it}")).is_some());
    if role.is_none() && !has_container && is_on("AWS_EC2_METADATA_DISABLED")? {
        return Err(missing(Cloud::Amazon, None));
    }
    let builder = AmazonS3Builder::new()
        .with_bucket_name("any")
        .with_region(region)
        .with_retry(retry())
        .with_http_connector(connector);
    let mut builder = said(VARIABLES).fold(builder, |it, (key, value)| it.with_config(key, value));
    if let (Some(file), Some(role)) = (file, role) {
        builder = builder.with_config(Key::WebIdentityTokenFile, file);
        builder = builder.with_config(Key::RoleArn, role);
    }
    let store = builder.build().map_err(|_| unreadable(Cloud::Amazon))?;
    Ok(store.credentials().clone())
}

#[derive(Debug)]
struct Amazon {
    credentials: AwsCredentialProvider,
    region: String,
    /// The one who asks pays for what is sent.
    pays: bool,
}

impl Door for Amazon {
    fn sign<'a>(
        &'a self,
        request: &'a mut HttpRequest,
        payload: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<(), OriginError>> {
        Box::pin(async move {
            let credential = self.credentials.get_credential().await;
            let credential = credential.map_err(|error| missing(Cloud::Amazon, Some(&error)))?;
            header(&credential.key_id, "AWS_ACCESS_KEY_ID")?;
            if let Some(token) = &credential.token {
                header(token, "AWS_SESSION_TOKEN")?;
            }
            header(&self.region, "AWS_REGION")?;
            // Others may be changed on the way: what is not signed may be.
            let (own, others): (HeaderMap, HeaderMap) = std::mem::take(request.headers_mut())
                .into_iter()
                .filter_map(|(name, value)| Some((name?, value)))
                .partition(|(name, _)| name.as_str().starts_with("x-amz-"));
            *request.headers_mut() = own;
            AwsAuthorizer::new(&credential, "s3", &self.region)
                .with_request_payer(self.pays)
                .try_authorize(request, payload.map(|digest| &digest.as_bytes()[..]))
                .map_err(|_| unusable("the request cannot be signed", "check the credentials"))?;
            request.headers_mut().extend(others);
            Ok(())
        })
    }
}
