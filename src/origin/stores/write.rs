//! What a publisher asks of a store: to read, to look, and to put something there.
//!
//! A version is what a store calls one state of an object: an ETag, or Google's generation. Under a
//! condition a store puts nothing in the place of what somebody else has put there meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use fs_err::File;
use futures_util::stream;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Method};

use super::super::http::Http;
use super::{Cloud, OriginError, Store, unusable};
use crate::name::{Digest, Hasher, SafeUrl};
use crate::policy::Policy;

const CHUNK: usize = 256 << 10;
/// A manifest, or a part of one: more than any has.
const LARGEST: usize = 256 << 20;

static GENERATION: HeaderName = HeaderName::from_static("x-goog-generation");
static IF_GENERATION: HeaderName = HeaderName::from_static("x-goog-if-generation-match");
static BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");
static BLOB_CACHE_CONTROL: HeaderName = HeaderName::from_static("x-ms-blob-cache-control");

/// One state of an object, as its store calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

/// What is put into a store.
#[derive(Debug, Clone)]
pub enum Content {
    /// It is in memory.
    Bytes(Bytes),
    /// A file: what has these bytes no more is not put there.
    File {
        /// Where it is.
        path: PathBuf,
        /// In bytes.
        size: u64,
        /// Of all bytes.
        sha256: Digest,
    },
}

impl Content {
    /// In bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    fn digest(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => Digest::of(bytes),
            Self::File { sha256, .. } => *sha256,
        }
    }

    fn body(&self) -> Result<Body, OriginError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone().into()),
            Self::File { path, size, sha256 } => {
                let hint = "make it readable, and publish again";
                let file = File::open(path).map_err(|error| unusable(&error.to_string(), hint))?;
                let reading =
                    Reading { file, left: *size, hasher: Hasher::default(), sha256: *sha256 };
                Ok(Body::wrap_stream(stream::try_unfold(Some(reading), |reading| async {
                    reading.map_or(Ok(None), Reading::next)
                })))
            }
        }
    }
}

/// A file on its way. Its last bytes are sent only if all of it is what it should be: a store
/// keeps nothing whose end it has not seen.
struct Reading {
    file: File,
    left: u64,
    hasher: Hasher,
    sha256: Digest,
}

impl Reading {
    fn next(mut self) -> std::io::Result<Option<(Bytes, Option<Self>)>> {
        use std::io::Read as _;
        let most = self.left.min(CHUNK as u64);
        let mut chunk = Vec::with_capacity(most as usize);
        (&mut self.file).take(most).read_to_end(&mut chunk)?;
        self.left -= chunk.len() as u64;
        self.hasher.update(&chunk);
        let changed = || std::io::Error::other("it changed while it was published");
        if (chunk.len() as u64) < most {
            return Err(changed());
        }
        if self.left > 0 {
            return Ok(Some((chunk.into(), Some(self))));
        }
        if self.hasher.finish() != self.sha256 {
            return Err(changed());
        }
        Ok(Some((chunk.into(), None)))
    }
}

/// When something is put there.
#[derive(Debug, Clone, Copy)]
pub enum Condition<'a> {
    /// Whatever is there.
    None,
    /// If nothing is there.
    Absent,
    /// If this is there still.
    Is(&'a Version),
}

/// How something is put there.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    /// When.
    pub condition: Condition<'a>,
    /// What its readers are told.
    pub cache_control: &'static str,
    /// How long the store may take for it.
    pub time: Duration,
}

impl Http {
    /// What is there, and its version. `None`: nothing is.
    pub async fn object(
        &self,
        url: &SafeUrl,
        policy: Policy,
    ) -> Result<Option<(Bytes, Option<Version>)>, OriginError> {
        let store = self.store(url).await?;
        let asked = self.ask(&store, Method::GET, url, policy).await?;
        let Some(mut answer) = asked else { return Ok(None) };
        let version = version(&store, answer.headers());
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(super::super::answer::broken)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LARGEST {
                return Err(unusable("it is larger than any manifest", "check the address"));
            }
        }
        Ok(Some((bytes.into(), version)))
    }

    /// The size of what is there. `None`: nothing is.
    pub async fn object_size(
        &self,
        url: &SafeUrl,
        policy: Policy,
    ) -> Result<Option<u64>, OriginError> {
        let store = self.store(url).await?;
        let answer = self.ask(&store, Method::HEAD, url, policy).await?;
        let size =
            |headers: &HeaderMap| headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
        Ok(answer.and_then(|answer| size(answer.headers())))
    }

    async fn ask(
        &self,
        store: &Store,
        method: Method,
        url: &SafeUrl,
        policy: Policy,
    ) -> Result<Option<reqwest::Response>, OriginError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if method == Method::GET {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        let (builder, asked) = self.signed(store, method, url, headers, None, policy).await?;
        let answer = self.answer(builder, &asked).await?;
        match answer.status().as_u16() {
            200 => Ok(Some(answer)),
            404 => {
                let error = self.refused(store, url, answer).await;
                // A bucket that is not there takes nothing either.
                if error.hint.contains("bucket") { Err(error) } else { Ok(None) }
            }
            _ => Err(self.refused(store, url, answer).await),
        }
    }

    /// Puts something there. False: what is there does not fulfil the condition.
    pub async fn put_object(
        &self,
        url: &SafeUrl,
        policy: Policy,
        content: &Content,
        put: Put<'_>,
    ) -> Result<bool, OriginError> {
        let store = self.store(url).await?;
        let headers = headers(&store, url, content, put)?;
        let digest = content.digest();
        let (builder, asked) =
            self.signed(&store, Method::PUT, url, headers, Some(&digest), policy).await?;
        let builder = builder.body(content.body()?);
        let answer = self.answer_within(builder, &asked, put.time).await?;
        match answer.status().as_u16() {
            200 | 201 | 204 => Ok(true),
            409 | 412 if !matches!(put.condition, Condition::None) => Ok(false),
            _ => Err(self.refused(&store, url, answer).await),
        }
    }
}

fn headers(
    store: &Store,
    url: &SafeUrl,
    content: &Content,
    put: Put<'_>,
) -> Result<HeaderMap, OriginError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_LENGTH, content.size().into());
    let kind = match url.file_name().rsplit_once('.') {
        Some((_, "json")) => "application/json",
        Some((_, "minisig" | "toml")) => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let cache_control = match store.cloud {
        Cloud::Azure => {
            headers.insert(&BLOB_TYPE, HeaderValue::from_static("BlockBlob"));
            &BLOB_CACHE_CONTROL
        }
        Cloud::Amazon | Cloud::Google => &header::CACHE_CONTROL,
    };
    headers.insert(cache_control, HeaderValue::from_static(put.cache_control));
    let (name, value) = match (store.cloud, put.condition) {
        (_, Condition::None) => return Ok(headers),
        (Cloud::Google, Condition::Absent) => (&IF_GENERATION, "0"),
        (Cloud::Google, Condition::Is(version)) => (&IF_GENERATION, version.0.as_str()),
        (_, Condition::Absent) => (&header::IF_NONE_MATCH, "*"),
        (_, Condition::Is(version)) => (&header::IF_MATCH, version.0.as_str()),
    };
    headers.insert(name, super::header(value, "the version of what is there")?);
    Ok(headers)
}

fn version(store: &Store, headers: &HeaderMap) -> Option<Version> {
    let name = if store.cloud == Cloud::Google { &GENERATION } else { &header::ETAG };
    Some(Version(headers.get(name)?.to_str().ok()?.to_owned()))
}
