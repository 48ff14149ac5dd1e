//! What a move did to each unit, for people.

use super::upgrade::{Move, Prepared};
use crate::session::Session;
use crate::store::generation::Active;

/// What happened to a unit that was named, or moved with one.
pub struct Outcome {
    /// As it follows `import`.
    pub full_name: String,
    /// `None`, if it was not in use.
    pub old_version: Option<String>,
    /// `None`, if it is not in use any more.
    pub new_version: Option<String>,
    /// How many files are new, gone or different; of a unit that stayed, those of all that moved.
    pub files_changed: usize,
}

impl Session {
    /// What came of the moves: of what was named (relative to the mount), then of the others.
    pub fn outcomes(&self, prepared: &Prepared, names: &[String]) -> Vec<Outcome> {
        let named = names.iter().map(|name| {
            let step = prepared.moves.iter().find(|step| step.key.unit() == name);
            step.map_or_else(|| self.stayed(prepared, name), moved)
        });
        let others =
            prepared.moves.iter().filter(|step| !names.iter().any(|it| it == step.key.unit()));
        named.chain(others.map(moved)).collect()
    }

    fn stayed(&self, prepared: &Prepared, name: &str) -> Outcome {
        let mount = &prepared.mount;
        let version = mount.bound().and_then(|bound| {
            self.active_entry(mount, &bound, name).map(|(_, active)| active.version.to_string())
        });
        Outcome {
            full_name: mount.namespace.join(name),
            old_version: version.clone(),
            new_version: version,
            files_changed: prepared.moves.iter().map(|step| step.changed.len()).sum(),
        }
    }
}

fn moved(step: &Move) -> Outcome {
    let version = |active: &Option<Active>| active.as_ref().map(|it| it.version.to_string());
    Outcome {
        full_name: step.full_name.clone(),
        old_version: version(&step.old),
        new_version: version(&step.new),
        files_changed: step.changed.len(),
    }
}
