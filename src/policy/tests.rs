//! What a table means, row by row.

use super::reading::read;
use super::rules::{Asked, Judgement, Otherwise, Rules};
use crate::error::Result;
use crate::name::{SafeUrl, Version};

fn rules(text: &str) -> Result<Rules> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("modules.toml");
    fs_err::write(&file, text).unwrap();
    let outcome = read(&file).map(Option::unwrap);
    outcome.map(|rules| Rules { file: "modules.toml".into(), ..rules })
}

fn judged(rules: &Rules, name: &str, version: &str, url: &str, size: u64) -> String {
    let files = [(SafeUrl::new(url).unwrap(), size)];
    let version = Version::new(version).unwrap();
    match rules.judge(&Asked { name, version: &version, files: &files, required_by: None }) {
        Ok(Judgement::Allowed(rule)) => format!("allowed by {rule}"),
        Ok(Judgement::Ask(rule)) => format!("ask by {rule}"),
        Err(error) => error.details().causes.join(": "),
    }
}

#[test]
fn what_the_lists_say_of_a_file() {
    let rules = rules(
        r#"
        [modules.numpy]
        [policy]
        default = "ask"
        allow = ["NumPy>=1.26,<3", "acme.alpha", {name = "own", version = "==2.*", source = "https://h/own"}]
        deny = ["numpy==2.0.1", "evil"]
        sources = ["h", "127.0.0.1:8080", "https://other.example/good/", "file:///srv/wheels"]
        max_size = "1K"
        "#,
    )
    .unwrap();
    for (name, version, url, size, expected) in [
        ("numpy", "2.0.0", "https://h/x", 1, "allowed by policy.allow[0]"),
        ("numpy", "3.0", "https://h/x", 1, "ask by policy.default"),
        ("num_py", "2.0", "https://h/x", 1, "ask by policy.default"),
        ("NUMPY", "2.0.1", "https://h/x", 1, "policy.deny[0] of modules.toml is \"numpy==2.0.1\""),
        ("evil", "nightly", "https://h/x", 1, "policy.deny[1] of modules.toml is \"evil\""),
        ("acme.alpha", "0+3f", "https://h/x", 1, "allowed by policy.allow[1]"),
        ("own", "2.5", "https://h/own/x", 1, "allowed by policy.allow[2]"),
        ("own", "2.5", "https://h/owner/x", 1, "ask by policy.default"),
        ("own", "3.0", "https://h/own/x", 1, "ask by policy.default"),
        ("other", "1", "http://127.0.0.1:8080/x", 1, "ask by policy.default"),
        ("other", "1", "https://other.example/good/x", 1024, "ask by policy.default"),
        ("other", "1", "file:///srv/wheels/x.whl", 1, "ask by policy.default"),
        (
            "other",
            "1",
            "https://other.example/goods/x",
            1,
            "policy.sources of modules.toml does not list https://other.example/goods/x",
        ),
        (
            "numpy",
            "2.0",
            "https://me:pw@h:8/x?token",
            1,
            "policy.sources of modules.toml does not list https://h:8/x",
        ),
        (
            "numpy",
            "2.0",
            "https://h/x.whl",
            1025,
            "x.whl has 1025 bytes, but policy.max_size of modules.toml is 1024",
        ),
    ] {
        assert_eq!(judged(&rules, name, version, url, size), expected, "{name} {version} {url}");
    }
}

#[test]
fn what_no_list_names() {
    for (text, expected) in [
        ("", Otherwise::Allow),
        ("deny = ['x']", Otherwise::Allow),
        ("allow = []", Otherwise::Deny),
        ("allow = ['x']\ndefault = 'allow'", Otherwise::Allow),
        ("default = 'deny'", Otherwise::Deny),
    ] {
        assert_eq!(rules(&format!("[policy]\n{text}")).unwrap().default, expected, "{text}");
    }
    let rules = rules("[policy]\nallow = ['x>=2']").unwrap();
    let why = |name| judged(&rules, name, "1", "https://h/x", 1);
    assert_eq!(why("y"), "policy.allow of modules.toml does not list it");
    assert_eq!(why("x"), "policy.allow of modules.toml only has other versions or sources of it");
}

#[test]
fn a_refusal_is_one_sentence_that_names_the_rule_and_the_remedy() {
    let rules = rules("[policy]\ndeny = ['x<2']").unwrap();
    let version = Version::new("1").unwrap();
    let error = rules
        .judge(&Asked { name: "x", version: &version, files: &[], required_by: None })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "x 1 may not be fetched: policy.deny[0] of modules.toml is \"x<2\"; \
         ask whoever keeps modules.toml to change that, or do without it"
    );
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, why) in [
        ("[policy]\nalow = []", "policy has no key alow: did you mean allow?"),
        (
            "[policy]\ncolour = 1",
            "policy has no key colour; it knows default, allow, deny, sources, max_size, max_total, offline, audit",
        ),
        ("[policy]\ndefault = 'no'", "policy.default must be \"allow\", \"ask\" or \"deny\""),
        ("[policy]\nallow = 'x'", "policy.allow must be a list"),
        (
            "[policy]\nallow = ['x', 1]",
            "policy.allow[1] must be a string such as \"numpy>=1.26,<3\", or a table",
        ),
        ("[policy]\ndeny = [{version = '1'}]", "policy.deny[0] needs a name"),
        ("[policy]\ndeny = [{nam = 'x'}]", "policy.deny[0] has no key nam: did you mean name?"),
        (
            "[policy]\ndeny = ['x 1.0']",
            "policy.deny[0]: \"1.0\" is not a condition such as >=1.26 or ==2.*",
        ),
        ("[policy]\ndeny = ['>=1']", "policy.deny[0]: \"\" is not the name of a distribution"),
        (
            "[policy]\nsources = ['a b']",
            "policy.sources[0] must be a host such as \"files.example.com\", or a URL",
        ),
        (
            "[policy]\nmax_size = 'much'",
            "policy.max_size must be a size such as \"500M\" or \"2G\"",
        ),
        ("[policy]\noffline = 1", "policy.offline must be true or false"),
        ("[policy]\naudit = true", "policy.audit must be \"best\" or \"required\""),
        ("policy = 1", "policy must be a table"),
        ("[policy]\nallow = [", "it is not TOML in line "),
    ] {
        let error = rules(text).unwrap_err();
        assert!(error.to_string().starts_with("cannot read the policy of "), "{error}");
        assert!(error.details().causes[0].starts_with(why), "{text}: {error}");
    }
}
