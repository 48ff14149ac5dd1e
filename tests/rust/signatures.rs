//! Mounts with keys: what they refuse, and what does not alarm them.

use std::io::Cursor;

use crate::engine_support::{Client, ClientOptions, World};
use magic_module::error::Kind;
use magic_module::name::Digest;
use minisign::{KeyPair, SecretKey};

struct Author {
    public: String,
    id: String,
    secret: SecretKey,
}

fn author() -> Author {
    let KeyPair { pk, sk } = KeyPair::generate_unencrypted_keypair().unwrap();
    let id = pk.keynum().iter().rev().map(|byte| format!("{byte:02X}")).collect();
    Author { public: pk.to_base64(), id, secret: sk }
}

impl Author {
    fn signature(&self, bytes: &[u8]) -> String {
        minisign::sign(None, &self.secret, Cursor::new(bytes), None, None).unwrap().into_string()
    }

    fn sign(&self, world: &World) {
        let bytes = std::fs::read(world.manifest()).unwrap();
        std::fs::write(world.site.join("manifest.json.minisig"), self.signature(&bytes)).unwrap();
    }
}

fn world() -> World {
    World::new(&[("alpha.py", "__version__ = '1.0'\n")])
}

fn client(world: &World, authors: &[&Author]) -> Client {
    let keys = authors.iter().map(|author| author.public.clone()).collect();
    Client::new(ClientOptions { keys, ..world.options() })
}

#[test]
fn a_signed_manifest_is_taken_and_asked_for_with_its_signature() {
    let (world, author, other) = (world(), author(), author());
    author.sign(&world);
    let client = client(&world, &[&other, &author]);
    assert_eq!(client.text("alpha", "alpha.py"), "__version__ = '1.0'\n");
    let mut paths = world.server.paths();
    paths.sort();
    assert_eq!(paths.len(), 3, "{paths:?}");
    assert_eq!(paths[1..], ["manifest.json", "manifest.json.minisig"]);
}

#[test]
fn unsigned_and_foreign_manifests_are_refused_and_nothing_of_them_is_kept() {
    let (world, author, stranger) = (world(), author(), author());
    for signed_by in [None, Some(&stranger)] {
        if let Some(stranger) = signed_by {
            stranger.sign(&world);
        }
        let client = client(&world, &[&author]);
        let error = client.find("alpha").err().unwrap();
        assert_eq!(error.kind(), Kind::Signature);
        assert_eq!(error.details().expected.as_deref(), Some(author.id.as_str()));
        assert_eq!(asked(&world), [named(&world, &author)]);
        let sentence = client.sentence::<()>(Err(error));
        let act = "the manifest SITE/manifest.json is not signed by a key of this mount";
        assert!(sentence.starts_with(act), "{sentence}");
        assert!(client.mount.folder.state().unwrap().manifest.is_none());
        let digest = Digest::of(&std::fs::read(world.manifest()).unwrap());
        assert!(!client.session.engine.store.blobs().path(&digest).exists());
    }
}

#[test]
fn a_changed_byte_or_another_manifests_signature_is_refused_and_the_old_one_stays() {
    let (world, author) = (world(), author());
    author.sign(&world);
    client(&world, &[&author]).import("alpha").unwrap();
    // A new manifest beside the signature of the one before.
    let place = world.site.join("manifest.json.minisig");
    let before = std::fs::read(&place).unwrap();
    std::fs::remove_file(&place).unwrap();
    world.write("alpha.py", "__version__ = '2.0'\n");
    world.publish();
    std::fs::write(&place, before).unwrap();
    let reader = client(&world, &[&author]);
    assert_eq!(reader.upgrade(&["alpha"]).unwrap_err().kind(), Kind::Signature);
    assert_eq!(reader.text("alpha", "alpha.py"), "__version__ = '1.0'\n");
    let later = client(&world, &[&author]);
    assert_eq!(later.text("alpha", "alpha.py"), "__version__ = '1.0'\n");
    assert_eq!(later.active(), ["alpha 1.0"]);
}

#[test]
fn the_signature_that_is_named_by_its_digest_rescues_a_mixed_pair() {
    let (world, author) = (world(), author());
    let bytes = std::fs::read(world.manifest()).unwrap();
    std::fs::write(world.site.join("manifest.json.minisig"), author.signature(b"newer")).unwrap();
    let folder = world.site.join("signatures");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(world.site.join(named(&world, &author)), author.signature(&bytes)).unwrap();
    let client = client(&world, &[&author]);
    client.find("alpha").unwrap();
    assert_eq!(asked(&world), [named(&world, &author)]);
    assert_eq!(client.text("alpha", "alpha.py"), "__version__ = '1.0'\n");
}

#[test]
fn for_each_key_one_signature_is_asked_for_by_name_until_one_is_good() {
    let (world, mut authors) = (world(), [author(), author(), author()]);
    // A mount keeps its keys in this order.
    authors.sort_by(|a, b| a.public.cmp(&b.public));
    let bytes = std::fs::read(world.manifest()).unwrap();
    std::fs::create_dir_all(world.site.join("signatures")).unwrap();
    let [one, two, three] = &authors;
    std::fs::write(world.site.join(named(&world, two)), two.signature(&bytes)).unwrap();
    client(&world, &[one, two, three]).find("alpha").unwrap();
    assert_eq!(asked(&world), [named(&world, one), named(&world, two)]);
    client(&world, &[three, one]).find("alpha").err().unwrap();
    assert_eq!(asked(&world), [named(&world, one), named(&world, three)]);
}

/// Where the signature is that is named by the digest of the manifest.
fn named(world: &World, author: &Author) -> String {
    let digest = Digest::of(&std::fs::read(world.manifest()).unwrap());
    format!("signatures/{digest}.{}.minisig", author.id)
}

/// What was asked for since the last call, behind the manifest and the signature beside it.
fn asked(world: &World) -> Vec<String> {
    let mut paths = world.server.paths();
    let named = paths.split_off(2);
    paths.sort();
    assert_eq!(paths, ["manifest.json", "manifest.json.minisig"]);
    named
}

#[test]
fn a_signature_is_no_licence_for_another_namespace_or_for_no_serial() {
    let author = author();
    for (from, to, sentence) in [
        ("\"acme\"", "\"other\"", "the manifest is for namespace \"other\", not for \"acme\""),
        ("\"serial\"", "\"unserial\"", "is signed but has no serial"),
    ] {
        let world = world();
        let text = std::fs::read_to_string(world.manifest()).unwrap();
        assert!(text.contains(from));
        std::fs::write(world.manifest(), text.replacen(from, to, 1)).unwrap();
        author.sign(&world);
        let client = client(&world, &[&author]);
        let said = client.sentence(client.find("alpha"));
        assert!(said.contains(sentence), "{said}");
    }
}

#[test]
fn other_keys_are_another_mount_and_share_bytes_only() {
    let (world, author) = (world(), author());
    author.sign(&world);
    let (signed, unsigned) = (client(&world, &[&author]), world.client());
    assert_ne!(signed.mount.identity, unsigned.mount.identity);
    unsigned.import("alpha").unwrap();
    world.server.hits();
    assert!(
        signed.active().is_empty(),
        "what nobody signed is not active where keys are asked for"
    );
    signed.import("alpha").unwrap();
    let mut paths = world.server.paths();
    paths.sort();
    assert_eq!(paths, ["manifest.json", "manifest.json.minisig"]);
}
