//! Secret keys: making them, reading them, signing with them.
//!
//! Files and signatures are those of the `minisign` tool, with and without a password.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};

use super::{Keys, from_base64, key_id, without_mark};
use crate::error::{Error, Kind, Result};
use crate::store::create_file;

/// A secret key that is ready to sign.
#[derive(Clone)]
pub struct Signer {
    secret: SecretKey,
    public: PublicKey,
    text: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.id())
    }
}

/// What `keygen` wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The file to keep.
    pub secret: PathBuf,
    /// The file to give away.
    pub public: PathBuf,
    /// The line that a mount takes.
    pub public_key: String,
    /// As `minisign` prints it.
    pub id: String,
}

impl Signer {
    /// Reads a file of `keygen` or of `minisign -G`.
    pub fn read(path: &Path, password: Option<&str>) -> Result<Self> {
        let text = read(path)?;
        let bytes = encoded(&text);
        let wrong = |why: minisign::PError| cannot_read(path).caused_by(&why);
        let secret = if !is_encrypted(&bytes) {
            // The tool leaves the checksum of such a key empty.
            SecretKey::from_bytes(&bytes).map_err(wrong)?
        } else if let Some(password) = password {
            SecretKeyBox::from(text.clone())
                .into_secret_key(Some(password.to_owned()))
                .map_err(|error| wrong(error).hint("check the password"))?
        } else {
            return Err(Error::new(
                Kind::Configuration,
                format!("the secret key {} has a password, which was not given", path.display()),
            )
            .path(path.display().to_string())
            .hint("set MAGIC_MODULE_KEY_PASSWORD, or run it in a terminal that can ask"));
        };
        Self::new(secret).map_err(wrong)
    }

    fn new(secret: SecretKey) -> minisign::Result<Self> {
        let public = PublicKey::from_secret_key(&secret)?;
        let text = public.to_base64();
        let signer = Self { secret, public, text };
        // A damaged key without a checksum shows here, and not at the client.
        let signature = signer.raw(b"", "")?;
        if signer.made(b"", &signature) {
            Ok(signer)
        } else {
            let why = "nobody would accept what it signs";
            Err(minisign::PError::new(minisign::ErrorKind::Verify, why))
        }
    }

    /// The key id as `minisign` prints it.
    pub fn id(&self) -> String {
        key_id(&self.text)
    }

    /// The line that a mount takes.
    pub fn public_key(&self) -> &str {
        &self.text
    }

    /// True if `signature` is by this key, over exactly these bytes.
    pub fn made(&self, bytes: &[u8], signature: &[u8]) -> bool {
        Keys::parse([self.public_key()]).is_ok_and(|keys| keys.accept(bytes, signature))
    }

    /// A signature file. The comment is signed, too.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Result<Vec<u8>> {
        self.raw(bytes, comment).map_err(|error| {
            Error::new(Kind::Configuration, format!("cannot sign with the key {}", self.id()))
                .caused_by(&error)
                .hint("make a new key with `magic-module keygen`")
        })
    }

    fn raw(&self, bytes: &[u8], comment: &str) -> minisign::Result<Vec<u8>> {
        let untrusted = format!("signature from magic-module with key {}", self.id());
        minisign::sign(Some(&self.public), &self.secret, bytes, Some(comment), Some(&untrusted))
            .map(|signature| signature.to_bytes())
    }
}

/// True if the secret key in a file has a password.
pub fn needs_password(path: &Path) -> Result<bool> {
    let bytes = encoded(&read(path)?);
    if bytes.len() < 158 {
        return Err(cannot_read(path));
    }
    Ok(is_encrypted(&bytes))
}

/// Where `keygen` puts the public key: `x.key` and `x.pub`.
pub fn public_path(secret: &Path) -> PathBuf {
    if secret.extension().is_some_and(|suffix| suffix == "key") {
        return secret.with_extension("pub");
    }
    let mut name = secret.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Makes a key pair. Nothing is ever overwritten.
pub fn generate(path: &Path, password: Option<&str>) -> Result<Generated> {
    let public = public_path(path);
    for place in [path, public.as_path()] {
        if fs_err::symlink_metadata(place).is_ok() {
            return Err(exists(place));
        }
    }
    let failed = |error: minisign::PError| {
        Error::new(Kind::Configuration, "cannot make a key").caused_by(&error)
    };
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password.to_owned())),
        None => KeyPair::generate_unencrypted_keypair(),
    }
    .map_err(failed)?;
    let public_key = pair.pk.to_base64();
    let id = key_id(&public_key);
    let secret_text =
        pair.sk.to_box(Some(&format!("magic-module secret key {id}"))).map_err(failed)?;
    write_new(path, secret_text.to_string().trim_end(), 0o600)?;
    let public_text = format!("untrusted comment: magic-module public key {id}\n{public_key}");
    if let Err(error) = write_new(&public, &public_text, 0o644) {
        // Half a pair is not a pair, and the next attempt would stumble over it.
        let _ = fs_err::remove_file(path);
        return Err(error);
    }
    Ok(Generated { secret: path.to_path_buf(), public, public_key, id })
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<()> {
    let written = create_file(path, mode).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    });
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Error::new(Kind::Configuration, format!("cannot write the key {}", path.display()))
            .path(path.display().to_string())
            .caused_by(&error)
            .hint("choose another file"),
    })
}

fn exists(path: &Path) -> Error {
    Error::new(
        Kind::Configuration,
        format!("cannot write the key {}: that file already exists", path.display()),
    )
    .path(path.display().to_string())
    .hint("choose another file, or move that one away")
}

fn read(path: &Path) -> Result<String> {
    let text = fs_err::read_to_string(path).map_err(|error| cannot_read(path).caused_by(&error))?;
    Ok(without_mark(&text).to_owned())
}

fn cannot_read(path: &Path) -> Error {
    Error::new(Kind::Configuration, format!("{} is not a minisign secret key", path.display()))
        .path(path.display().to_string())
        .hint("give the secret key's file, which `magic-module keygen` or `minisign -G` wrote")
}

/// The second line, decoded.
fn encoded(text: &str) -> Vec<u8> {
    from_base64(text.lines().nth(1).unwrap_or_default().trim())
}

/// Bytes 2 and 3 name what derives a key from the password; zeros mean that there is none.
fn is_encrypted(bytes: &[u8]) -> bool {
    bytes.get(2..4).is_some_and(|derivation| derivation != [0, 0])
}
