//! Profiles, as Amazon's own tools keep them.
//!
//! ```text
//! ~/.aws/credentials   [NAME]           AWS_SHARED_CREDENTIALS_FILE names another file
//! ~/.aws/config        [profile NAME]   AWS_CONFIG_FILE names another one
//! ```
//!
//! NAME is what `AWS_PROFILE` says, else `default`. A profile's keys are read here, and what its
//! `credential_process` prints. Such a program has to deal with everything else that a profile may
//! say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use object_store::aws::AwsCredential;
use serde::Deserialize;

use super::{OriginError, named, variable};
use crate::threads;

/// What a profile says, by key.
#[derive(Debug, Default)]
pub(super) struct Profile {
    name: String,
    values: BTreeMap<String, Secret>,
}

/// Keys and tokens are among these.
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Where a profile has its credentials from.
pub(super) enum Found {
    Credential(AwsCredential),
    WebIdentity { file: String, role: String },
}

/// The output of a `credential_process`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl Profile {
    pub fn read() -> Result<Self, OriginError> {
        let asked = variable("AWS_PROFILE");
        let name = asked.clone().unwrap_or_else(|| "default".to_owned());
        let mut profile = Self { name, values: BTreeMap::new() };
        let mut is_there = false;
        for (names, file) in [
            ("AWS_CONFIG_FILE", "config"),
            // What both say, this one says better.
            ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        ] {
            let text = path(names, file).and_then(|path| fs_err::read_to_string(path).ok());
            is_there |= profile.add(&text.unwrap_or_default());
        }
        if asked.is_some() && !is_there {
            let why = format!("there is no profile {} that AWS_PROFILE names", profile.name);
            let hint = "let AWS_PROFILE name a profile of ~/.aws/config, or unset it";
            return Err(named(why, hint.to_owned()));
        }
        Ok(profile)
    }

    /// Reads a file; true if it has the profile.
    fn add(&mut self, text: &str) -> bool {
        let (mut inside, mut is_there) = (false, false);
        for line in text.lines() {
            let bare = line.trim();
            if let Some(title) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                let title = title.trim();
                inside = title.strip_prefix("profile ").unwrap_or(title).trim() == self.name;
                is_there |= inside;
            } else if inside
                // What is indented belongs to the line above it.
                && !line.starts_with([' ', '\t', '#', ';'])
                && let Some((key, value)) = bare.split_once('=')
            {
                let key = key.trim().to_ascii_lowercase();
                self.values.insert(key, Secret(value.trim().to_owned()));
            }
        }
        is_there
    }

    pub fn get(&self, key: &str) -> Option<String> {
        self.values.get(key).map(|it| it.0.clone()).filter(|text| !text.is_empty())
    }

    /// `None`: it says nothing about credentials.
    pub async fn credential(&self) -> Result<Option<Found>, OriginError> {
        if let (Some(key_id), Some(secret_key)) =
            (self.get("aws_access_key_id"), self.get("aws_secret_access_key"))
        {
            let token = self.get("aws_session_token");
            return Ok(Some(Found::Credential(AwsCredential { key_id, secret_key, token })));
        }
        if let (Some(file), Some(role)) =
            (self.get("web_identity_token_file"), self.get("role_arn"))
        {
            return Ok(Some(Found::WebIdentity { file, role }));
        }
        if let Some(command) = self.get("credential_process") {
            return self.printed(command).await.map(Found::Credential).map(Some);
        }
        let other = ["role_arn", "sso_session", "sso_account_id"];
        match other.iter().find(|key| self.values.contains_key(**key)) {
            None => Ok(None),
            Some(key) => {
                let why = format!("the profile {} gets its credentials by {key}", self.name);
                let name = &self.name;
                let hint = format!(
                    "set AWS_ACCESS_KEY_ID and what else `aws configure export-credentials --profile \
                     {name} --format env` prints, or let a profile's credential_process run it"
                );
                Err(named(why, hint))
            }
        }
    }

    async fn printed(&self, command: String) -> Result<AwsCredential, OriginError> {
        let run = move || {
            let (shell, option) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
            let mut process = Command::new(shell);
            process.arg(option).arg(command).stdin(Stdio::null()).stderr(Stdio::null());
            process.output().ok().filter(|output| output.status.success())
        };
        let output = threads::beside(run).await.flatten();
        let printed = output.and_then(|it| serde_json::from_slice::<Printed>(&it.stdout).ok());
        let printed = printed.ok_or_else(|| {
            let why = format!("the credential_process of the profile {} failed", self.name);
            named(why, "run it yourself: it says what it lacks".to_owned())
        })?;
        Ok(AwsCredential {
            key_id: printed.access_key_id,
            secret_key: printed.secret_access_key,
            token: printed.session_token,
        })
    }
}

fn path(name: &str, file: &str) -> Option<PathBuf> {
    let usual = || Some(directories::BaseDirs::new()?.home_dir().join(".aws").join(file));
    variable(name).map(PathBuf::from).or_else(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
[default]
region = eu-north-1
[profile team] 
region=eu-west-1
s3 =
    region = not-this
aws_access_key_id = KEY
# aws_access_key_id = OTHER
aws_secret_access_key = a=b/c
[team-other]
region = not-this
";

    #[test]
    fn a_profile_is_its_own_section() {
        let mut profile = Profile { name: "team".to_owned(), values: BTreeMap::new() };
        assert!(profile.add(FILE));
        for (key, value) in [
            ("region", "eu-west-1"),
            ("aws_access_key_id", "KEY"),
            ("aws_secret_access_key", "a=b/c"),
        ] {
            assert_eq!(profile.get(key).as_deref(), Some(value));
        }
        assert!(!format!("{profile:?}").contains("a=b/c"));
        let mut other = Profile { name: "other".to_owned(), values: BTreeMap::new() };
        assert!(!other.add(FILE));
    }
}
