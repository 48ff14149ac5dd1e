//! What stands in a view, for a lock of a few wheels.

use super::*;
use crate::name::{Digest, UrlText, Version};
use crate::resolved::{Distribution, Owners};
use crate::wheel::{Scheme, WheelFile};

const ENTRY_POINTS: &str = "\
[console_scripts]
# a comment = not:one
tool = tool.cli:main
deep=tool.cli:App.run [extra]
pip = pip:main
../out = tool:main
bad = tool.cli:main();evil
module = tool.cli

[gui_scripts]
window = tool.gui : show

[tool.plugins]
plugin = tool:plugin
";

fn scheme() -> Scheme {
    Scheme {
        site: "lib/python3.12/site-packages".to_owned(),
        scripts: "bin".to_owned(),
        headers: "include/site/python3.12".to_owned(),
    }
}

fn home() -> Home {
    Home {
        view: PathBuf::from("/cache/v1/views/x"),
        interpreter: PathBuf::from("/usr/bin/python3.12"),
        version: "3.12.1".to_owned(),
        own_package: Some(PathBuf::from("/env/magic_module")),
    }
}

/// A wheel of version 1; the bytes of a file are its name.
fn wheel(name: &str, files: &[&str], entry_points: Option<&str>) -> Contents {
    let mut texts = BTreeMap::new();
    texts.insert("METADATA".to_owned(), format!("Name: {name}\nVersion: 1\n"));
    texts.insert("WHEEL".to_owned(), "Wheel-Version: 1.0\n".to_owned());
    texts.insert("RECORD".to_owned(), "the wheel's own".to_owned());
    texts.extend(entry_points.map(|text| ("entry_points.txt".to_owned(), text.to_owned())));
    let dist_info = format!("{name}-1.dist-info");
    let written = texts.keys().map(|text| format!("{dist_info}/{text}"));
    let named = files.iter().map(|file| (*file).to_owned());
    let files = named.chain(written).map(|entry| WheelFile {
        size: entry.len() as u64,
        sha256: Digest::of(entry.as_bytes()),
        entry: FilePath::new(&entry).unwrap(),
        executable: false,
    });
    Contents { sha256: Digest::of(b""), size: 0, files: files.collect(), dist_info, texts }
}

/// The view of these wheels, in the order of the lock.
fn furnished(wheels: &[(&str, Contents)], home: &Home, small: &[(&str, &str)]) -> Plan {
    let named: Vec<(UnitName, &Contents)> =
        wheels.iter().map(|(name, contents)| (UnitName::new(name).unwrap(), contents)).collect();
    let files: Vec<(UnitName, Vec<FileEntry>)> = named
        .iter()
        .map(|(unit, contents)| (unit.clone(), FileEntry::of(contents, &scheme()).unwrap()))
        .collect();
    let units = named.iter().map(|(unit, contents)| {
        let distribution = Distribution {
            name: unit.to_string(),
            version: Version::new("1").unwrap(),
            url: UrlText::new("https://files.example/x.whl"),
            size: 0,
            sha256: contents.sha256,
            tree: Digest::of(unit.as_str().as_bytes()),
            requires: std::collections::BTreeSet::new(),
        };
        (unit.clone(), distribution)
    });
    let resolved = Resolved {
        scheme: scheme(),
        units: units.collect(),
        owners: Owners::of(&scheme(), &files),
        editable: Vec::new(),
        projects: BTreeMap::new(),
        knots: Vec::new(),
        optional: BTreeMap::new(),
        start: crate::resolved::Start::default(),
        code: BTreeMap::new(),
        packs: BTreeMap::new(),
    };
    let contents = named.iter().map(|(unit, contents)| (unit.clone(), (*contents).clone()));
    let small =
        small.iter().map(|(path, text)| (FilePath::new(path).unwrap(), text.as_bytes().to_vec()));
    plan(&resolved, &contents.collect(), home, &small.collect()).unwrap()
}

fn text(plan: &Plan, path: &str) -> String {
    let path = path.replace("site/", "lib/python3.12/site-packages/");
    match plan.0.get(path.as_str()) {
        Some(Entry::File { bytes, .. }) => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("{path}: {other:?}"),
    }
}

/// All links of a view, each with the first letters of what it leads to.
fn links(plan: &Plan) -> Vec<String> {
    let line = |(path, entry): (&FilePath, &Entry)| {
        let path = path.as_str().replace("lib/python3.12/site-packages/", "site/");
        match entry {
            Entry::Tree { path: inside, digest } | Entry::Knot { path: inside, digest } => {
                assert!(inside.as_str().ends_with(path.trim_start_matches("site/")));
                Some(format!("{path} {}", &digest.to_hex()[..4]))
            }
            Entry::Beside(target) => Some(format!("{path} {target}")),
            Entry::Outside(target) => Some(format!("{path} {}", target.display())),
            Entry::File { .. } => None,
        }
    };
    plan.0.iter().filter_map(line).collect()
}

fn tree(unit: &str) -> String {
    Digest::of(unit.as_bytes()).to_hex()[..4].to_owned()
}

#[test]
fn all_of_an_environment_is_there_before_any_wheel() {
    let files = ["tool/cli.py", "tool-1.dist-info/licenses/MIT", "tool-1.data/data/share/t/x.txt"];
    let plan = furnished(&[("tool", wheel("tool", &files, Some(ENTRY_POINTS)))], &home(), &[]);
    let mut expected = vec![
        "bin/python /usr/bin/python3.12".to_owned(),
        "bin/python3 python".to_owned(),
        "bin/python3.12 python".to_owned(),
        "site/magic_module /env/magic_module".to_owned(),
        format!("site/tool {}", tree("tool")),
        format!("site/tool-1.dist-info/licenses {}", tree("tool")),
        format!("share/t {}", tree("tool")),
    ];
    if cfg!(all(target_pointer_width = "64", not(target_os = "macos"))) {
        expected.insert(5, "lib64 lib".to_owned());
    }
    let mut found = links(&plan);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(text(&plan, "site/tool-1.dist-info/METADATA"), "Name: tool\nVersion: 1\n");
    assert_eq!(text(&plan, "site/tool-1.dist-info/INSTALLER"), "magic-module\n");
    assert_eq!(text(&plan, "site/tool-1.dist-info/entry_points.txt"), ENTRY_POINTS);
    assert_eq!(text(&plan, "site/magic_module.pth"), super::START);
    assert_eq!(
        text(&plan, "pyvenv.cfg"),
        "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.12.1\n"
    );
}

#[test]
fn scripts_are_written_from_the_entry_points_that_are_good() {
    let plan = furnished(&[("tool", wheel("tool", &[], Some(ENTRY_POINTS)))], &home(), &[]);
    let bin: Vec<&str> =
        plan.0.keys().filter_map(|path| path.as_str().strip_prefix("bin/")).collect();
    assert_eq!(
        bin,
        ["deep", "pip", "pip3", "pip3.12", "python", "python3", "python3.12", "tool", "window"]
    );
    assert_eq!(
        text(&plan, "bin/tool"),
        "#!/cache/v1/views/x/bin/python\nimport sys\nfrom tool.cli import main\n\n\
         if __name__ == \"__main__\":\n    sys.exit(main())\n"
    );
    assert!(text(&plan, "bin/deep").contains("from tool.cli import App\n"));
    assert!(text(&plan, "bin/deep").contains("sys.exit(App.run())\n"));
    assert!(text(&plan, "bin/window").contains("from tool.gui import show\n"));
    for pip in ["pip", "pip3", "pip3.12"] {
        let script = text(&plan, &format!("bin/{pip}"));
        assert!(script.contains("from magic_module._py.pip import main\n"), "{script}");
    }
}

#[test]
fn a_wheels_own_scripts_are_launched_and_not_copied() {
    let files = ["tool-1.data/scripts/helper", "tool-1.data/data/bin/other"];
    let plan = furnished(&[("tool", wheel("tool", &files, None))], &home(), &[]);
    for name in ["helper", "other"] {
        assert_eq!(
            text(&plan, &format!("bin/{name}")),
            format!(
                "#!/cache/v1/views/x/bin/python\nimport sys\n\
                 from magic_module._py.run import script\n\n\
                 if __name__ == \"__main__\":\n    sys.exit(script(\"tool\", \"bin/{name}\"))\n"
            )
        );
    }
}

#[test]
fn a_shell_starts_what_the_system_would_not() {
    let short = |view: &str| {
        let home = Home { view: PathBuf::from(view), ..home() };
        text(&furnished(&[], &home, &[]), "bin/pip").lines().next().unwrap().to_owned()
    };
    assert_eq!(short("/x"), "#!/x/bin/python", "pip is there in any case");
    assert_eq!(short("/with a blank"), "#!/bin/sh");
    let longest = "x".repeat(127 - "#!//bin/python\n".len());
    assert_eq!(short(&format!("/{longest}")), format!("#!/{longest}/bin/python"));
    assert_eq!(short(&format!("/{longest}x")), "#!/bin/sh");
}

#[test]
fn the_record_is_that_of_an_installed_wheel() {
    let files = [
        "tool/a,b.py",
        "tool/x.pyc",
        "tool-1.data/purelib/tool/c.py",
        "tool-1.data/scripts/helper",
        "tool-1.data/headers/t.h",
        "tool-1.data/data/share/t.txt",
        "start.pth",
    ];
    let entry_points = "[console_scripts]\ntool = tool:main\n";
    let plan = furnished(&[("tool", wheel("tool", &files, Some(entry_points)))], &home(), &[]);
    let record = text(&plan, "site/tool-1.dist-info/RECORD");
    let paths: Vec<String> = crate::distribution::recorded(&record).collect();
    assert_eq!(
        paths,
        [
            "../../../bin/helper",
            "../../../bin/tool",
            "../../../include/site/python3.12/tool/t.h",
            "../../../share/t.txt",
            "start.pth",
            "tool-1.dist-info/INSTALLER",
            "tool-1.dist-info/METADATA",
            "tool-1.dist-info/RECORD",
            "tool-1.dist-info/REQUESTED",
            "tool-1.dist-info/WHEEL",
            "tool-1.dist-info/entry_points.txt",
            "tool/a,b.py",
            "tool/c.py",
        ]
    );
    assert!(record.contains("\ntool-1.dist-info/RECORD,,\n"));
    assert!(record.contains("\n\"tool/a,b.py\",sha256="));
    // `printf 'magic-module\n' | sha256sum`, as `RECORD` writes it.
    let installer = "INSTALLER,sha256=nxAMTX5Lnagtbtd3YapHcVjq9y9qtoi1UU4tarRSRfI,13\n";
    assert!(record.contains(installer), "{record}");
    let script = text(&plan, "bin/helper").len();
    assert!(
        record.lines().any(|line| line.starts_with("../../../bin/helper,")
            && line.ends_with(&format!(",{script}")))
    );
}

#[test]
fn what_an_installer_adds_is_recorded_too() {
    let mut pip = wheel("pip", &["pip/__main__.py"], Some("[console_scripts]\npip3 = pip:main\n"));
    pip.texts.insert("direct_url.json".to_owned(), "{}".to_owned());
    let plan = furnished(&[("pip", pip)], &home(), &[]);
    assert_eq!(text(&plan, "site/pip-1.dist-info/direct_url.json"), "{}");
    let record = text(&plan, "site/pip-1.dist-info/RECORD");
    let paths: Vec<String> = crate::distribution::recorded(&record).collect();
    let scripts = ["../../../bin/pip", "../../../bin/pip3", "../../../bin/pip3.12"];
    assert_eq!(paths[..3], scripts);
    assert!(paths.contains(&"pip-1.dist-info/direct_url.json".to_owned()), "{paths:?}");
}

#[test]
fn what_an_interpreter_would_run_at_its_start_is_left_out() {
    let files = ["evil.pth", "evil.start", "tool/inner.pth", "magic_module.pth", "magic_module.py"];
    let plan = furnished(&[("tool", wheel("tool", &files, None))], &home(), &[]);
    let site: Vec<String> =
        links(&plan).into_iter().filter(|line| line.starts_with("site/")).collect();
    assert_eq!(
        site,
        [
            "site/magic_module /env/magic_module".to_owned(),
            format!("site/magic_module.py {}", tree("tool")),
            format!("site/tool {}", tree("tool"))
        ]
    );
    assert_eq!(text(&plan, "site/magic_module.pth"), super::START);
}

#[test]
fn a_package_of_our_name_gives_way_to_the_one_that_runs() {
    let plan = furnished(
        &[
            ("a", wheel("a", &["magic_module/x.py", "a.py"], None)),
            ("b", wheel("b", &["magic_module/y.py", "lib64-1.txt", "b-1.data/data/lib64/x"], None)),
        ],
        &home(),
        &[],
    );
    let found = links(&plan);
    let ours: Vec<&String> = found.iter().filter(|line| line.contains("magic_module")).collect();
    assert_eq!(ours, ["site/magic_module /env/magic_module"]);
    assert!(found.contains(&format!("lib64 {}", tree("b"))), "{found:?}");
}

#[test]
fn small_files_at_hand_are_real_and_the_rest_of_their_folder_are_links() {
    let data = "lab-1.data/data/share/jupyter";
    let files = [
        format!("{data}/kernels/x/kernel.json"),
        format!("{data}/kernels/x/logo.png"),
        format!("{data}/kernels/x/deep/er.txt"),
        format!("{data}/static/big.js"),
    ];
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let kernel = "share/jupyter/kernels/x/kernel.json";
    let plan = furnished(&[("lab", wheel("lab", &files, None))], &home(), &[(kernel, "{}")]);
    assert_eq!(text(&plan, kernel), "{}");
    let found: Vec<String> =
        links(&plan).into_iter().filter(|line| line.starts_with("share")).collect();
    let lab = tree("lab");
    assert_eq!(
        found,
        [
            format!("share/jupyter/kernels/x/deep {lab}"),
            format!("share/jupyter/kernels/x/logo.png {lab}"),
            format!("share/jupyter/static {lab}"),
        ]
    );
}

#[test]
fn metadata_elsewhere_than_in_its_folder_is_refused() {
    let mut contents = wheel("tool", &[], None);
    contents.dist_info = "deep/tool-1.dist-info".to_owned();
    let files = FileEntry::of(&contents, &scheme()).unwrap();
    let error = metadata::of(
        &contents,
        &files,
        &BTreeMap::new(),
        &super::Recorded { scheme: &scheme(), requested: true, seen: &|path| path.to_string() },
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "\"deep/tool-1.dist-info\" is not a folder of metadata");
}
