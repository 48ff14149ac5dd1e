//! How often the tables name the right distribution, on names that were chosen before there was a table.

use std::collections::BTreeMap;

use magic_module::known::{distribution, normalized};
use serde::Deserialize;

const HARD: &str = include_str!("../fixtures/hard_names.toml");

#[derive(Deserialize)]
#[serde(untagged)]
enum Right {
    One(String),
    AnyOf(Vec<String>),
}

/// A guess that is wrong counts as wrong, although it says that it is one.
#[test]
fn hard_names_are_told_right() {
    let names: BTreeMap<String, Right> = toml::from_str(HARD).unwrap();
    assert_eq!(names.len(), 150);
    let (mut right, mut wrong, mut unanswered) = (0, Vec::new(), Vec::new());
    for (import, answers) in &names {
        let answers = match answers {
            Right::One(answer) => vec![answer.clone()],
            Right::AnyOf(answers) => answers.clone(),
        };
        let known = distribution(import).unwrap();
        match known.distribution {
            Some(named) if answers.iter().any(|it| normalized(it) == normalized(&named)) => {
                right += 1;
            }
            None if answers == [""] => right += 1,
            Some(named) => wrong.push(format!("{import}: {named}")),
            None => unanswered.push(import),
        }
    }
    assert!(right * 100 >= 95 * names.len(), "{right} right; {wrong:?} {unanswered:?}");
    assert!(wrong.len() * 100 <= 3 * names.len(), "{wrong:?}");
    eprintln!("{right} right, wrong {wrong:?}, unanswered {unanswered:?}");
}
