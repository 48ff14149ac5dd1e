//! What the core noticed becomes warnings, in the thread that waits for it.

use pyo3::prelude::*;

use crate::error::{SENTENCE, shown};
use crate::events::NoticeKind;
use crate::session::Session;

/// Warns of what was noticed since the last call. With `-W error` the first one is raised.
pub fn warn(py: Python<'_>, session: &Session) -> PyResult<()> {
    for notice in session.engine.events.take_notices() {
        let category = match notice.kind {
            NoticeKind::OldManifest => "OldManifestWarning",
            NoticeKind::Yanked => "YankedWarning",
            NoticeKind::Costly => "MagicModuleWarning",
        };
        py.import("magic_module._py.notices")?
            .call_method1("warn", (category, shown(&notice.text, SENTENCE)))?;
    }
    Ok(())
}
