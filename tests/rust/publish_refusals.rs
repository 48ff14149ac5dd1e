//! What `publish` refuses: each refusal is one sentence, pinned whole, that says
//! what, why, and what to do.

use magic_module::uses::publish::publish;

use crate::publish_support::{DAY, NOW, Sandbox, options};

/// The whole sentence that publishing these files ends in.
fn refusal(files: &[(&str, &str)]) -> String {
    refusal_of(&Sandbox::new(files))
}

fn refusal_of(sandbox: &Sandbox) -> String {
    let error = sandbox.publish().unwrap_err().to_string();
    assert!(!sandbox.output.join("manifest.json").exists());
    let folder = sandbox.source.parent().unwrap().display().to_string();
    error.replace(&folder, "…")
}

/// Only Linux file systems take all of these names.
#[cfg(target_os = "linux")]
#[test]
fn names_that_cannot_be_imported_are_refused() {
    let cases: &[(&[&str], &str)] = &[
        (
            &["one-two.py"],
            r#"cannot publish one-two.py: "one-two" cannot be imported: "one-two" is not a Python identifier; rename it, or move it out of the source folder"#,
        ),
        (
            &["class/__init__.py"],
            r#"cannot publish class/: "class" cannot be imported: "class" is a Python keyword; rename it, or move it out of the source folder"#,
        ),
        (
            &["mount.py"],
            r#"cannot publish mount: "mount" is a name of magic_module's own API; rename it, or publish with another --namespace"#,
        ),
        (
            &["_own/x.py"],
            r#"cannot publish _own: "_own" starts with an underscore, which magic_module keeps for itself; rename it, or publish with another --namespace"#,
        ),
        (
            &["Alpha.py", "alpha/__init__.py"],
            "cannot publish alpha: Alpha differs only in case; rename one of them",
        ),
        (
            &["alpha.py", "notes.txt"],
            r#"cannot publish notes.txt: there is no module "notes" that it belongs to; name it like the module it belongs to, or move it out of the source folder"#,
        ),
        (
            &["alpha.py", "other.libs/libz.so"],
            r#"cannot publish other.libs/: there is no module "other" that it belongs to; name it like the module it belongs to, or move it out of the source folder"#,
        ),
        (
            &["a.b/x.py"],
            "cannot publish a.b/: a folder with a dot in its name cannot be imported; rename it, or move it out of the source folder",
        ),
        (
            &["alpha.py", "alpha/__init__.py"],
            "cannot publish alpha.py: alpha/ is there too, and a unit is a module or a folder; move it into alpha/, or rename one of them",
        ),
        (
            &["alpha/x:y.txt"],
            r#"cannot publish alpha/x:y.txt: "alpha/x:y.txt" has a character that Windows does not allow; rename it, or move it out of the source folder"#,
        ),
        (
            &["alpha/e\u{301}.txt", "alpha/\u{e9}.txt"],
            "cannot publish alpha/\u{e9}.txt: alpha/e\u{301}.txt has the same name in Unicode normal form C; rename one of them",
        ),
        (
            &["alpha/X.txt", "alpha/x.txt"],
            "cannot publish alpha/x.txt: alpha/X.txt is the same file on systems that ignore case; rename one of them",
        ),
        (
            &["bin/x", ".git/x"],
            "cannot publish an empty folder: it holds no module and no package; name the folder that holds the modules",
        ),
    ];
    for (paths, expected) in cases {
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (*path, "")).collect();
        assert_eq!(refusal(&files), *expected, "{paths:?}");
    }
}

#[test]
fn wrong_settings_name_their_place() {
    let alpha = ("alpha/__init__.py", "");
    for (text, expected) in [
        (
            "[alpha]\ncolour = 1\n",
            "magic-module.toml is wrong at alpha.colour: unknown field `colour`, expected one of `version`, `summary`, `requires_python`, `dependencies`, `requires`, `yanked`, `lazy`, `variants`; correct it, or remove it",
        ),
        (
            "[alpha]\nversion = '1 0'\n",
            r#"magic-module.toml is wrong at alpha.version: version "1 0" must be 1 to 100 ASCII letters, digits, or any of . _ - + !; correct it, or remove it"#,
        ),
        (
            "[alpha]\nvariants = [{tag = 'linux', folder = 'x'}]\n",
            r#"magic-module.toml is wrong at alpha.variants[0].tag: "linux" is not a wheel tag of three parts; write it like cp310-abi3-manylinux_2_17_x86_64"#,
        ),
        (
            "[alpha]\nvariants = [{tag = 'a-b-c', folder = '../x'}]\n",
            r#"magic-module.toml is wrong at alpha.variants[0].folder: "../x" leaves its folder; correct it, or remove it"#,
        ),
        (
            "[alpha]\nvariants = [{tag = 'a-b-c', folder = 'x'}]\n",
            "cannot publish x: the folder of a variant is missing; correct `folder` in magic-module.toml, or create it",
        ),
        (
            "colour = 1\n",
            "magic-module.toml is wrong at colour: the document knows only `max_age`, `units` and one table for each unit; correct the key, or move it into a unit's table",
        ),
        (
            "[beta]\nversion = '1'\n",
            "magic-module.toml is wrong at beta: there is no unit beta, because beta.py and beta/ are missing; correct the name, or remove it; a submodule is a unit only if `units` lists it",
        ),
        (
            "[alpha.deep]\nversion = '1'\n",
            r#"magic-module.toml is wrong at alpha.deep: a record has no such table; for the unit alpha.deep write ["alpha.deep"]"#,
        ),
        (
            "units = ['alpha.deep']\n",
            "magic-module.toml is wrong at units: there is no unit alpha.deep, because alpha/deep.py and alpha/deep/ are missing; correct the name, or remove it; a submodule is a unit only if `units` lists it",
        ),
        (
            "[alpha]\nrequires = ['beta']\n",
            "magic-module.toml is wrong at alpha.requires: the source folder has no unit beta; correct the name, or add the unit",
        ),
        (
            "[alpha]\nlazy = ['*']\n",
            r#"magic-module.toml is wrong at alpha.lazy: "*" names no data file of alpha; write globs below the unit's folder, such as data/*.bin, or remove it"#,
        ),
        (
            "[alpha]\nyanked = {'0.9' = 'bad'}\n",
            "magic-module.toml is wrong at alpha.yanked: the site holds no version 0.9 of alpha; correct the version, or remove it",
        ),
        (
            "max_age = 1\n[alpha\n",
            "magic-module.toml is wrong at line 2: unclosed table, expected `]`; correct the line",
        ),
    ] {
        assert_eq!(refusal(&[alpha, ("magic-module.toml", text)]), expected, "{text}");
    }
}

#[test]
fn a_file_of_a_variant_that_nobody_claims_is_refused() {
    assert_eq!(
        refusal(&[
            ("alpha/__init__.py", ""),
            ("beta.py", ""),
            ("linux/alpha/_fast.so", ""),
            ("linux/beta.csv", ""),
            ("magic-module.toml", "[alpha]\nvariants = [{tag = 'a-b-c', folder = 'linux'}]\n"),
        ]),
        "cannot publish linux/beta.csv: no unit has a variant with this folder that may hold it; add the variant to the unit's table in magic-module.toml, or move the file away"
    );
}

#[test]
fn a_wrong_distribution_is_refused() {
    let alpha = ("alpha.py", "");
    let remedy =
        "; install the distribution again, or move its .dist-info out of the source folder";
    for (name, text, expected) in [
        ("RECORD", "", "cannot publish x.dist-info/METADATA: the file is missing"),
        ("METADATA", "", "cannot publish x.dist-info/METADATA: it has no Name"),
        (
            "METADATA",
            "Name: x\n",
            r#"cannot publish x.dist-info/METADATA: version "" must be 1 to 100 ASCII letters, digits, or any of . _ - + !"#,
        ),
        (
            "METADATA",
            "Name: x\nVersion: 1\nRequires-Dist: >=2\n",
            r#"cannot publish x.dist-info/METADATA: Requires-Dist ">=2" begins with no distribution's name"#,
        ),
        (
            "METADATA",
            "Name: x\nVersion: 1\n",
            "cannot publish x.dist-info/: neither RECORD nor top_level.txt tells which modules it describes",
        ),
    ] {
        let path = format!("x.dist-info/{name}");
        assert_eq!(refusal(&[alpha, (&path, text)]), format!("{expected}{remedy}"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn folders_that_cannot_be_used_are_refused() {
    let sandbox = Sandbox::new(&[("alpha.py", ""), ("inner/x.py", "")]);
    let (source, output) = (&sandbox.source, &sandbox.output);
    let refuse = |source: &std::path::Path, output: &std::path::Path| {
        let chosen = options("acme", NOW, None);
        let error = publish(source, output, &chosen).unwrap_err();
        error.to_string().replace(&sandbox.source.parent().unwrap().display().to_string(), "…")
    };
    let beside = "choose an output folder beside the source folder";
    assert_eq!(
        refuse(source, &source.join("new/site")),
        format!("cannot publish …/src into …/src/new/site: one lies inside the other; {beside}")
    );
    assert_eq!(
        refuse(&source.join("inner"), source),
        format!("cannot publish …/src/inner into …/src: one lies inside the other; {beside}")
    );
    assert_eq!(
        refuse(&source.join("none"), output),
        "cannot publish …/src/none: it does not exist; name the folder that holds the modules"
    );
    assert_eq!(
        refuse(&source.join("alpha.py"), output),
        "cannot publish …/src/alpha.py: it is not a folder; name the folder that holds the modules"
    );
    std::fs::write(output, "a file").unwrap();
    assert_eq!(
        refuse(source, output),
        "cannot publish into …/out: failed to create directory `…/out`: File exists (os error 17); make it writable, free some space, or choose another output folder"
    );
}

#[cfg(unix)]
#[test]
fn links_are_followed_to_files_of_the_source_only() {
    let link = |target: &str| {
        let sandbox = Sandbox::new(&[("alpha/__init__.py", "x = 1")]);
        std::os::unix::fs::symlink(target, sandbox.source.join("alpha/link.py")).unwrap();
        sandbox
    };
    let good = link("__init__.py");
    good.publish().unwrap();
    let files = &good.modules().0["alpha"].files;
    assert_eq!(files.len(), 2);
    assert_eq!(files[0].sha256, files[1].sha256);

    let remedy = "replace the link by a copy of what it points to";
    for (target, why) in [
        ("/etc/passwd", "it is a link out of the source folder"),
        ("../alpha", "it is a link to a folder"),
        ("missing", "it is a link to nothing"),
    ] {
        assert_eq!(
            refusal_of(&link(target)),
            format!("cannot publish alpha/link.py: {why}; {remedy}")
        );
    }
    let sandbox = Sandbox::new(&[("alpha.py", "")]);
    let _listener = std::os::unix::net::UnixListener::bind(sandbox.source.join("socket")).unwrap();
    assert_eq!(
        refusal_of(&sandbox),
        "cannot publish socket: it is neither a file nor a folder; move it out of the source folder"
    );
}

#[test]
fn a_site_that_is_not_what_it_says_is_never_overwritten() {
    let sandbox = Sandbox::new(&[("alpha.py", "")]);
    sandbox.publish_into("acme").unwrap();
    let path = sandbox.output.join("manifest.json");
    let good = std::fs::read_to_string(&path).unwrap();
    sandbox.write("alpha.py", "x = 1");
    assert_eq!(
        sandbox.publish().unwrap_err().to_string(),
        r#"cannot publish namespace "magic_module": the output folder serves "acme"; pass --namespace "acme", or choose another output folder"#
    );
    let remedy = "restore it from a copy, or choose another output folder";
    for (text, why) in [
        (good[..60].to_owned(), "the manifest is not valid JSON"),
        (
            good.replace("alpha.py", "../alpha.py"),
            r#"the manifest is wrong at modules.alpha.files[0].path: "../alpha.py" leaves its folder"#,
        ),
    ] {
        std::fs::write(&path, &text).unwrap();
        assert_eq!(
            sandbox.publish_into("acme").unwrap_err().to_string(),
            format!("cannot publish over the manifest.json of the output folder: {why}; {remedy}")
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    // A serial from the future: every client would refuse its successor, too.
    std::fs::write(&path, good.replace(&NOW.to_string(), &(NOW + 2 * DAY).to_string())).unwrap();
    let mut chosen = options("acme", NOW, None);
    chosen.settings_epoch = false;
    let error = publish(&sandbox.source, &sandbox.output, &chosen).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot publish: the serial 1700172800 of the output folder is more than a day ahead of this machine's clock (1700000000); set the clock, or set SOURCE_DATE_EPOCH to a later time"
    );
}
