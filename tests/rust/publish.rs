//! `publish` through its public door: a folder goes in, a site comes out, and what
//! the site says is what its files are.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may, and makes its own folders"
)]

mod publish_code;
mod publish_refusals;
mod publish_support;

use std::collections::BTreeSet;

use publish_support::{DAY, NOW, Sandbox};

#[test]
fn modules_packages_and_data_become_units() {
    let sandbox = Sandbox::new(&[
        ("alpha.py", "'''doc'''\n__version__ = '1.2.0'\n"),
        ("alpha.csv", "a,b\n"),
        ("beta/__init__.py", ""),
        ("beta/deep/__init__.py", ""),
        ("beta/deep/data/empty.txt", ""),
        ("beta/données/é.txt", "é"),
        ("space/part/module.py", "x = 1\n"),
        ("fast.cpython-313-x86_64-linux-gnu.so", "\u{7f}ELF"),
        ("fast.libs/libz.so.1", "lib"),
        // Nothing of this is published.
        ("bin/script", "#!"),
        (".hidden", "x"),
        ("beta/.cache/x", "x"),
        ("beta/__pycache__/x.pyc", "x"),
        ("beta/old.pyc", "x"),
    ]);
    let published = sandbox.publish().unwrap();
    assert!(published.changed);
    assert_eq!(published.serial, NOW);
    let names: Vec<String> = published.units.iter().map(|unit| unit.name.to_string()).collect();
    assert_eq!(names, ["alpha", "beta", "fast", "space"]);

    let modules = sandbox.modules();
    let paths = |unit: &str| -> Vec<String> {
        modules.0[unit].files.iter().map(|file| file.path.to_string()).collect()
    };
    assert_eq!(paths("alpha"), ["alpha.csv", "alpha.py"]);
    assert_eq!(
        paths("beta"),
        [
            "beta/__init__.py",
            "beta/deep/__init__.py",
            "beta/deep/data/empty.txt",
            "beta/données/é.txt"
        ]
    );
    assert_eq!(paths("fast"), ["fast.cpython-313-x86_64-linux-gnu.so", "fast.libs/libz.so.1"]);
    assert_eq!(paths("space"), ["space/part/module.py"]);
    assert_eq!(modules.0["alpha"].version.as_str(), "1.2.0");
    let content = &modules.0["space"];
    let digest = content.tree_digest().to_hex();
    assert_eq!(content.version.as_str(), format!("0+{}", &digest[..12]));
    sandbox.check_every_file();
}

#[test]
fn a_pack_holds_the_small_files_of_its_unit() {
    let large = "x".repeat((1 << 20) + 1);
    let noise: String = (0_u32..2000).map(|n| char::from(33 + (n * n % 89) as u8)).collect();
    let sandbox = Sandbox::new(&[
        ("p/__init__.py", "x = 1\n".repeat(200).as_str()),
        ("p/noise.txt", &noise),
        ("p/empty", ""),
        ("p/large.bin", &large),
        ("p/lazy.bin", "lazy"),
        ("single.py", "x = 1\n"),
        ("magic-module.toml", "[p]\nlazy = ['lazy.bin']\n"),
    ]);
    sandbox.publish().unwrap();
    let modules = sandbox.modules();
    let [pack] = &modules.0["p"].packs[..] else { panic!("one pack") };
    let paths: Vec<&str> = pack.paths.iter().map(|path| path.as_str()).collect();
    assert_eq!(paths, ["p/__init__.py", "p/empty", "p/noise.txt"]);
    assert!(modules.0["single"].packs.is_empty());
    assert!(modules.0["p"].file("p/lazy.bin").unwrap().lazy);

    assert_eq!(pack.format, magic_module::manifest::PackFormat::ZipZstd);
    assert!(pack.url.as_str().ends_with(".zip.zst"), "{}", pack.url);
    let frame = std::fs::read(sandbox.output.join(pack.url.as_str())).unwrap();
    assert!(frame.len() < 3000, "{} bytes", frame.len());
    let mut bytes = Vec::with_capacity(10_000);
    zstd_safe::decompress(&mut bytes, &frame).unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    assert_eq!(archive.len(), 3);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let path = entry.name().unwrap().into_owned();
        assert_eq!(entry.compression(), zip::CompressionMethod::Stored, "{path}");
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut text).unwrap();
        assert_eq!(text, std::fs::read(sandbox.source.join(&path)).unwrap(), "{path}");
    }
    // The same files elsewhere give the same pack.
    let other = Sandbox::new(&[
        ("p/noise.txt", &noise),
        ("p/__init__.py", "x = 1\n".repeat(200).as_str()),
        ("p/empty", ""),
    ]);
    other.publish().unwrap();
    assert_eq!(other.modules().0["p"].packs[0].sha256, pack.sha256);
}

#[test]
fn publishing_twice_touches_nothing() {
    let sandbox =
        Sandbox::new(&[("alpha.py", "x = 1\n"), ("beta/__init__.py", ""), ("beta/a.txt", "a")]);
    sandbox.publish().unwrap();
    let before = sandbox.snapshot();
    assert!(before.len() > 3);
    let again = sandbox.publish_at(NOW + 100).unwrap();
    assert!(!again.changed && again.units.iter().all(|unit| !unit.changed));
    assert_eq!(again.serial, NOW);
    assert_eq!(sandbox.snapshot(), before);

    // What is damaged or lost is mended, and still the manifest stays.
    let url = sandbox.modules().0["alpha"].files[0].url().unwrap().as_str().to_owned();
    std::fs::write(sandbox.output.join(&url), "y = 1\n").unwrap();
    std::fs::remove_file(sandbox.output.join(sandbox.modules().0["beta"].packs[0].url.as_str()))
        .unwrap();
    assert!(!sandbox.publish_at(NOW + 200).unwrap().changed);
    sandbox.check_every_file();
}

#[test]
fn an_old_version_stays_for_those_who_hold_it() {
    let sandbox = Sandbox::new(&[("alpha.py", "__version__ = '1.0'\n"), ("beta.py", "")]);
    sandbox.publish().unwrap();
    let first = sandbox.files_of("alpha");
    sandbox.write("alpha.py", "__version__ = '1.1'\n");
    let second = sandbox.publish_at(NOW).unwrap();
    assert_eq!(second.serial, NOW + 1);
    let [alpha, beta] = &second.units[..] else { panic!("two units") };
    assert_eq!(alpha.old_version.as_ref().unwrap().as_str(), "1.0");
    assert!(alpha.changed && !beta.changed);
    let record = &sandbox.modules().0["alpha"];
    let url = record.versions["1.0"].files[0].url().unwrap();
    assert_eq!(url.as_str(), *first.first().unwrap());
    assert_eq!(record.versions["1.0"].published, Some(NOW));
    sandbox.check_every_file();

    // The same version with other content takes the place of the record.
    sandbox.write("alpha.py", "__version__ = '1.1'  # mended\n");
    assert!(sandbox.publish_at(NOW + 50).unwrap().units[0].changed);
    let record = &sandbox.modules().0["alpha"];
    assert_eq!(record.versions.len(), 1);
    assert_eq!(record.published, Some(NOW + 50));

    // Back to the old one: it is current again, and no version of itself.
    sandbox.write("alpha.py", "__version__ = '1.0'\n");
    sandbox.publish_at(NOW + 60).unwrap();
    let record = &sandbox.modules().0["alpha"];
    assert_eq!(record.version.as_str(), "1.0");
    assert_eq!(record.versions.keys().map(|it| it.as_str()).collect::<Vec<_>>(), ["1.1"]);

    std::fs::remove_file(sandbox.source.join("beta.py")).unwrap();
    let published = sandbox.publish_at(NOW + 70).unwrap();
    assert_eq!(published.removed.iter().map(|it| it.as_str()).collect::<Vec<_>>(), ["beta"]);
    assert!(!sandbox.modules().0.contains_key("beta"));
}

#[test]
fn old_versions_are_dropped_when_they_were_replaced_long_ago() {
    let sandbox = Sandbox::new(&[("alpha/__init__.py", "__version__ = '1'"), ("alpha/x", "x")]);
    sandbox.publish_at(NOW).unwrap();
    sandbox.write("alpha/__init__.py", "__version__ = '2'");
    sandbox.publish_at(NOW + 40 * DAY).unwrap();
    sandbox.write("alpha/__init__.py", "__version__ = '3'");
    sandbox.publish_at(NOW + 50 * DAY).unwrap();
    let old: BTreeSet<String> = sandbox.files_of("alpha");
    assert_eq!(old.len(), 7, "three files by version, one shared, three packs: {old:?}");
    for url in &old {
        sandbox.age(url, NOW);
    }

    // Version 1 was current until day 40: on day 60 that is 20 days ago.
    let kept = sandbox.publish_dropping(NOW + 60 * DAY, 30).unwrap();
    assert_eq!((kept.changed, kept.dropped, kept.dropped_versions), (false, 0, 0));

    // On day 75 it is 35 days ago; its files are kept until their last manifest is old.
    let first = sandbox.publish_dropping(NOW + 75 * DAY, 30).unwrap();
    assert_eq!((first.changed, first.dropped, first.dropped_versions), (true, 0, 1));
    let versions = sandbox.modules().0["alpha"].versions.clone();
    assert_eq!(versions.keys().map(|it| it.as_str()).collect::<Vec<_>>(), ["2"]);
    let gone: Vec<String> = old.difference(&sandbox.files_of("alpha")).cloned().collect();
    assert_eq!(gone.len(), 2);
    for url in &gone {
        assert!(sandbox.modified(url) > NOW, "{url} ages from the day it was dropped");
        sandbox.age(url, NOW + 30 * DAY);
    }
    let second = sandbox.publish_dropping(NOW + 76 * DAY, 30).unwrap();
    assert_eq!((second.changed, second.dropped, second.dropped_versions), (false, 2, 0));
    assert!(gone.iter().all(|url| !sandbox.output.join(url).exists()));
    sandbox.check_every_file();
}

#[test]
fn a_distribution_gives_its_units_their_fields() {
    let metadata = "Metadata-Version: 2.1\nName: Big_Pack\nVersion: 3.1\nSummary: Does things\n\
        Requires-Python: >=3.8\nRequires-Dist: helper>=1\nRequires-Dist: numpy>=2; python_version < '4'\n\
        Requires-Dist: pytest; extra == 'test'\n\nRequires-Dist: body\n";
    let helper = "Name: helper\nVersion: 1.0\n";
    let sandbox = Sandbox::new(&[
        ("big_pack/__init__.py", "__version__ = '0'"),
        ("_big.py", ""),
        ("helping.py", ""),
        ("big_pack-3.1.dist-info/METADATA", metadata),
        ("big_pack-3.1.dist-info/direct_url.json", "{}"),
        (
            "big_pack-3.1.dist-info/RECORD",
            "big_pack/__init__.py,sha256=x,1\n\"_big.py\",,\n../../bin/big,,\nbig_pack-3.1.dist-info/RECORD,,\n",
        ),
        ("helper-1.0.dist-info/METADATA", helper),
        ("helper-1.0.dist-info/top_level.txt", "helping\n"),
        ("tool-1.0.dist-info/METADATA", "Name: tool\nVersion: 1.0\n"),
        ("tool-1.0.dist-info/RECORD", "../../bin/tool,,\n"),
    ]);
    sandbox.publish_into("").unwrap();
    let modules = sandbox.modules();
    let (big, inner, helper) = (&modules.0["big_pack"], &modules.0["_big"], &modules.0["helping"]);
    assert_eq!(big.version.as_str(), "3.1");
    assert_eq!(big.summary.as_deref(), Some("Does things"));
    assert_eq!(big.requires_python.as_deref(), Some(">=3.8"));
    assert_eq!(big.dependencies, ["numpy>=2; python_version < '4'"]);
    assert_eq!(big.requires.iter().map(|it| it.as_str()).collect::<Vec<_>>(), ["helping"]);
    assert_eq!(
        inner.requires.iter().map(|it| it.as_str()).collect::<Vec<_>>(),
        ["big_pack", "helping"]
    );
    assert_eq!(inner.version.as_str(), "3.1");
    assert!(big.file("big_pack-3.1.dist-info/METADATA").is_some());
    assert!(big.file("big_pack-3.1.dist-info/direct_url.json").is_none());
    assert!(helper.file("helper-1.0.dist-info/METADATA").is_some());
    assert_eq!(inner.files.len(), 1);
    assert_eq!(modules.0.len(), 3);
}

#[test]
fn the_settings_file_overrides_every_field() {
    let sandbox = Sandbox::new(&[
        ("a/__init__.py", "__version__ = '1'"),
        ("a/data/x.bin", "x"),
        ("a/data/x.py", ""),
        ("a/b/__init__.py", ""),
        ("other.py", ""),
        ("variants/linux/a/_fast.so", "linux"),
        ("variants/linux/a/__init__.py", "__version__ = '1'"),
        ("variants/mac/a/_fast.so", "mac"),
        (
            "magic-module.toml",
            "max_age = 60\nunits = ['a.b']\n[a]\nversion = '2.0'\nsummary = 'S'\n\
             requires_python = '>=3.11'\ndependencies = ['numpy']\nrequires = ['other']\n\
             yanked = 'broken'\nlazy = ['data/**']\n\
             variants = [{tag = 'cp313-cp313-linux_x86_64', folder = 'variants/linux'},\n\
             {tag = 'cp313-cp313-macosx_11_0_arm64', folder = 'variants/mac'}]\n\
             ['a.b']\nversion = '3'\n",
        ),
    ]);
    sandbox.publish().unwrap();
    let manifest = sandbox.manifest();
    assert_eq!(manifest.max_age, Some(60));
    let modules = sandbox.modules();
    assert_eq!(modules.0.keys().map(|it| it.as_str()).collect::<Vec<_>>(), ["a", "a.b", "other"]);
    let a = &modules.0["a"];
    assert_eq!(a.version.as_str(), "2.0");
    assert_eq!(a.summary.as_deref(), Some("S"));
    assert_eq!(a.requires_python.as_deref(), Some(">=3.11"));
    assert_eq!(a.dependencies, ["numpy"]);
    assert_eq!(a.requires.iter().map(|it| it.as_str()).collect::<Vec<_>>(), ["other"]);
    assert_eq!(a.yanked.as_deref(), Some("broken"));
    let lazy: Vec<&str> =
        a.files.iter().filter(|file| file.lazy).map(|file| file.path.as_str()).collect();
    assert_eq!(lazy, ["a/data/x.bin"]);
    let [linux, mac] = &a.variants[..] else { panic!("two variants") };
    assert_eq!(linux.files.len(), 1, "what is the same everywhere stays with the record");
    assert_ne!(linux.files[0].sha256, mac.files[0].sha256);
    assert_eq!(modules.0["a.b"].files[0].path.as_str(), "a/b/__init__.py");

    // A new max_age alone is a new manifest; a version may be yanked afterwards.
    let text = std::fs::read_to_string(sandbox.source.join("magic-module.toml")).unwrap();
    let text = text.replace("max_age = 60", "max_age = 61");
    sandbox.write("magic-module.toml", &text);
    assert!(sandbox.publish_at(NOW + 1).unwrap().changed);
    let text = text.replace("version = '2.0'", "version = '2.1'");
    sandbox.write("magic-module.toml", &text.replace("'broken'", "{'2.0' = 'worse'}"));
    sandbox.publish_at(NOW + 2).unwrap();
    let a = &sandbox.modules().0["a"];
    assert_eq!(a.yanked, None);
    assert_eq!(a.versions["2.0"].yanked.as_deref(), Some("worse"));
    sandbox.check_every_file();
}

#[test]
fn a_reader_during_publishing_sees_one_whole_version() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let sandbox = Sandbox::new(&[("alpha/__init__.py", "x = 0"), ("alpha/data.txt", "0")]);
    sandbox.publish().unwrap();
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            loop {
                let last = done.load(Ordering::Acquire);
                let manifest = sandbox.manifest();
                sandbox.check_files(manifest.modules().unwrap());
                seen.insert(manifest.serial.unwrap());
                if last {
                    return seen;
                }
            }
        });
        for round in 1..=20 {
            sandbox.write("alpha/__init__.py", &format!("x = {round}"));
            sandbox.write("alpha/data.txt", &round.to_string());
            sandbox.publish_at(NOW + round).unwrap();
        }
        done.store(true, Ordering::Release);
        reader.join().unwrap()
    });
    assert!(seen.contains(&(NOW + 20)));
}

#[test]
fn two_publishers_wait_for_each_other() {
    let sandbox = Sandbox::new(&[("alpha.py", "x = 1")]);
    let other = Sandbox::new(&[("alpha.py", "x = 2")]);
    std::thread::scope(|scope| {
        for sandbox_of_thread in [&sandbox, &other] {
            let output = &sandbox.output;
            scope.spawn(move || {
                for _ in 0..10 {
                    sandbox_of_thread.publish_to(output).unwrap();
                }
            });
        }
    });
    sandbox.check_every_file();
    let serial = sandbox.manifest().serial.unwrap();
    assert!((NOW + 1..NOW + 20).contains(&serial), "{serial}");
    assert!(!sandbox.output.join(".magic-module.tmp").exists());
}

#[test]
fn many_units_are_a_catalogue() {
    let sandbox = Sandbox::new(&[]);
    for number in 0..1_001 {
        sandbox.write(&format!("unit_{number}.py"), &format!("__version__ = '{}'", number % 2));
    }
    sandbox.publish_into("acme").unwrap();
    let manifest = sandbox.manifest();
    assert!(manifest.modules().is_none());
    assert_eq!(sandbox.modules().0.len(), 1_001);
    sandbox.check_every_file();
    let before = sandbox.snapshot();
    assert!(!sandbox.publish_into("acme").unwrap().changed);
    assert_eq!(sandbox.snapshot(), before);

    // Older versions live in the leaves, too; parts that nobody needs are dropped.
    sandbox.write("unit_7.py", "__version__ = '2'");
    let published = sandbox.publish_into("acme").unwrap();
    assert!(published.changed);
    assert_eq!(published.units.iter().filter(|unit| unit.changed).count(), 1);
    assert_eq!(sandbox.modules().0["unit_7"].versions.len(), 1);
    let old: Vec<&String> = before.keys().filter(|it| it.starts_with("parts/")).collect();
    old.iter().for_each(|part| sandbox.age(part, NOW - DAY));
    assert_eq!(sandbox.publish_into("acme").unwrap().dropped, 0);
    let dropped = sandbox.publish_dropping_into("acme", NOW + DAY, 1).unwrap();
    assert_eq!((dropped.changed, dropped.dropped_versions), (false, 0));
    assert_eq!(dropped.dropped, 2, "one table and one leaf");
    sandbox.check_every_file();

    // Below an empty namespace the manifest itself answers for every name.
    let whole = Sandbox::new(&[]);
    for number in 0..1_001 {
        whole.write(&format!("unit_{number}.py"), "");
    }
    whole.publish_into("").unwrap();
    assert_eq!(whole.manifest().modules().unwrap().0.len(), 1_001);
}

#[test]
fn an_old_version_goes_with_the_unit_that_it_requires() {
    let sandbox = Sandbox::new(&[
        ("alpha.py", "__version__ = '1'"),
        ("beta.py", ""),
        ("magic-module.toml", "[alpha]\nrequires = ['beta']\n"),
    ]);
    sandbox.publish().unwrap();
    sandbox.write("alpha.py", "__version__ = '2'");
    sandbox.publish().unwrap();
    sandbox.write("magic-module.toml", "");
    sandbox.write("alpha.py", "__version__ = '3'");
    assert_eq!(sandbox.publish().unwrap().dropped_versions, 0);
    assert_eq!(sandbox.modules().0["alpha"].versions.len(), 2);
    std::fs::remove_file(sandbox.source.join("beta.py")).unwrap();
    assert_eq!(sandbox.publish().unwrap().dropped_versions, 2);
    assert!(sandbox.modules().0["alpha"].versions.is_empty());
}

#[test]
fn what_a_killed_publisher_left_is_removed() {
    let sandbox = Sandbox::new(&[("alpha.py", "x = 1")]);
    let left = sandbox.output.join(".magic-module.tmp/1");
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, "half").unwrap();
    sandbox.publish().unwrap();
    let names: BTreeSet<String> = sandbox.snapshot().into_keys().collect();
    let url = sandbox.modules().0["alpha"].files[0].url().unwrap().as_str().to_owned();
    let expected = [".magic-module.lock", url.as_str(), "manifest.json"];
    assert_eq!(names, expected.map(str::to_owned).into());
}

/// One import out of a million units reads the manifest, a table and a leaf.
#[test]
#[ignore = "takes gigabytes of memory: run with --release -- --ignored --nocapture"]
fn one_import_out_of_a_million_units_is_small() {
    use magic_module::manifest::{Body, File, Manifest, Modules, Place, Record};
    use magic_module::name::{Digest, FilePath, Namespace, UnitName, UrlText};
    let mut modules = Modules::default();
    for number in 0..1_000_000 {
        let name = format!("unit_{number}");
        let sha256 = Digest::of(name.as_bytes());
        let hex = sha256.to_hex();
        let path = FilePath::new(&format!("{name}.py")).unwrap();
        let place = Place::Url(UrlText::new(format!("files/{}/{hex}.py", &hex[..2])));
        let files = vec![File { path, place, size: 812, sha256, lazy: false, executable: false }];
        let record: Record = serde_json::from_value(
            serde_json::json!({"version": "1.2.0", "files": files, "published": NOW}),
        )
        .unwrap();
        modules.0.insert(UnitName::new(&name).unwrap(), Box::new(record));
    }
    let parts = magic_module::uses::publish::split(&modules, None).unwrap();
    let bits = parts.catalogue.bits;
    let manifest = Manifest {
        manifest: 1,
        namespace: Namespace::new("acme").unwrap(),
        serial: Some(NOW),
        created: Some("2026-11-21T00:00:00Z".to_owned()),
        max_age: None,
        needs: vec!["catalogue".to_owned()],
        body: Body::Catalogue(parts.catalogue),
        lock: None,
    };
    // As `publish` writes it: one space of indentation.
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
    serde::Serialize::serialize(
        &manifest,
        &mut serde_json::Serializer::with_formatter(&mut text, formatter),
    )
    .unwrap();
    let (tables, leaves): (Vec<usize>, Vec<usize>) = {
        let (leaves, tables): (Vec<_>, Vec<_>) =
            parts.parts.iter().partition(|(_, bytes)| bytes.starts_with(b"{"));
        (
            tables.iter().map(|(_, bytes)| bytes.len()).collect(),
            leaves.iter().map(|(_, bytes)| bytes.len()).collect(),
        )
    };
    let (table, leaf) = (*tables.iter().max().unwrap(), *leaves.iter().max().unwrap());
    println!(
        "bits {bits:?}, {} leaves of {} bytes on average: manifest {} + table {table} + largest leaf {leaf} = {}",
        leaves.len(),
        leaves.iter().sum::<usize>() / leaves.len(),
        text.len(),
        text.len() + table + leaf
    );
    assert!(text.len() + table + leaf <= 64 << 10);
}
