//! Manifests: refused as such, or the same when they are written again.

use magic_module::error::Kind;
use magic_module::manifest::Manifest;

pub fn check(data: &[u8]) {
    match Manifest::parse(data) {
        Ok(manifest) => {
            let written = serde_json::to_vec(&manifest).unwrap();
            let again = Manifest::parse(&written).unwrap();
            assert_eq!(again, manifest);
            for record in manifest.modules().into_iter().flat_map(|modules| modules.0.values()) {
                // A variant changes what is there, never what may be there.
                for variant in &record.variants {
                    let one = |part: &str| part.split('.').next().unwrap_or_default().to_owned();
                    let tag: Vec<String> = variant.tag.splitn(3, '-').map(one).collect();
                    let (chosen, tag) = record.select(&[tag.join("-")]);
                    assert!(tag.is_some());
                    assert!(chosen.files.len() >= record.files.len());
                    let listed = |path| chosen.files.iter().any(|file| file.path == path);
                    assert!(
                        chosen
                            .packs
                            .iter()
                            .flat_map(|pack| &pack.paths)
                            .all(|path| listed(path.clone()))
                    );
                }
            }
        }
        Err(error) => {
            assert_eq!(error.kind(), Kind::Manifest, "{error}");
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
    }
}
