//! The public functions, and what `magic_module._py` asks for: convert, wait, convert.
//!
//! ```text
//! mount      a mount                         mounting   mounts of manifests
//! lock       mounts of locks
//! exported   mounts as text                describe   units, mounts, distributions
//! prefetch   fetches by name               data       one file of a unit
//! moves      upgrade and rollback          verify     the cache: verify, prune, usage
//! pin        the project's lock            events     listeners
//! imports    who imported what
//! requests   who is asked before
//! publish    makes what a mount reads      keys       signs it
//! doctor     what is wrong                 settings   the environment
//! install    plain files in a folder         check      what a script needs
//! known      import name to distribution   space      what a tenant has of its own
//! run        a script within limits
//! types      what is returned
//! ```

mod bundle;
mod check;
mod data;
mod describe;
mod doctor;
mod environ;
mod events;
mod exported;
mod imports;
mod install;
mod keys;
mod known;
mod lock;
mod mount;
mod mounting;
mod moves;
mod pin;
mod prefetch;
mod publish;
mod requests;
mod run;
mod search_path;
mod settings;
mod space;
mod sync;
mod types;
mod verify;

use pyo3::prelude::*;
use pyo3::wrap_pyfunction;

/// Adds all functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let functions = [
        wrap_pyfunction!(bundle::_bundle_parts, module)?,
        wrap_pyfunction!(bundle::_unbundle, module)?,
        wrap_pyfunction!(bundle::_bundled, module)?,
        wrap_pyfunction!(bundle::_are_here, module)?,
        wrap_pyfunction!(check::check_script, module)?,
        wrap_pyfunction!(data::_is_in_view, module)?,
        wrap_pyfunction!(data::_lazy_files, module)?,
        wrap_pyfunction!(data::_lazy_path, module)?,
        wrap_pyfunction!(data::_sources, module)?,
        wrap_pyfunction!(data::_unit_file, module)?,
        wrap_pyfunction!(data::data_path, module)?,
        wrap_pyfunction!(describe::_distributions, module)?,
        wrap_pyfunction!(describe::_namespace_of, module)?,
        wrap_pyfunction!(describe::_mounts, module)?,
        wrap_pyfunction!(describe::available, module)?,
        wrap_pyfunction!(describe::info, module)?,
        wrap_pyfunction!(doctor::_diagnose, module)?,
        wrap_pyfunction!(events::_unwatch, module)?,
        wrap_pyfunction!(events::_watch, module)?,
        wrap_pyfunction!(events::on_event, module)?,
        wrap_pyfunction!(imports::_imports, module)?,
        wrap_pyfunction!(imports::_watch_imports, module)?,
        wrap_pyfunction!(imports::_paths_in_view, module)?,
        wrap_pyfunction!(keys::_key_needs_password, module)?,
        wrap_pyfunction!(keys::_signature, module)?,
        wrap_pyfunction!(keys::_keygen, module)?,
        wrap_pyfunction!(known::_known, module)?,
        wrap_pyfunction!(exported::_exported, module)?,
        wrap_pyfunction!(exported::export_environment, module)?,
        wrap_pyfunction!(exported::mount_said, module)?,
        wrap_pyfunction!(exported::_mount_exported, module)?,
        wrap_pyfunction!(exported::_note_plain_lock, module)?,
        wrap_pyfunction!(exported::_note_preloaded, module)?,
        wrap_pyfunction!(exported::_start, module)?,
        wrap_pyfunction!(exported::_unpickled, module)?,
        wrap_pyfunction!(install::_allow_build, module)?,
        wrap_pyfunction!(install::_install_into, module)?,
        wrap_pyfunction!(lock::_index_lock, module)?,
        wrap_pyfunction!(lock::_nearest_lock, module)?,
        wrap_pyfunction!(lock::_nearest_registry, module)?,
        wrap_pyfunction!(lock::_script_folder, module)?,
        wrap_pyfunction!(lock::_tell_logins, module)?,
        wrap_pyfunction!(lock::_skip_start, module)?,
        wrap_pyfunction!(lock::mount_lock, module)?,
        wrap_pyfunction!(mounting::mount, module)?,
        wrap_pyfunction!(moves::_upgrade_unit, module)?,
        wrap_pyfunction!(moves::rollback, module)?,
        wrap_pyfunction!(moves::upgrade, module)?,
        wrap_pyfunction!(pin::_freeze, module)?,
        wrap_pyfunction!(pin::_ignore_lock, module)?,
        wrap_pyfunction!(pin::_pin, module)?,
        wrap_pyfunction!(prefetch::_behind_logins, module)?,
        wrap_pyfunction!(prefetch::_bring_rests, module)?,
        wrap_pyfunction!(prefetch::_stop_rests, module)?,
        wrap_pyfunction!(prefetch::prefetch, module)?,
        wrap_pyfunction!(publish::_publish, module)?,
        wrap_pyfunction!(publish::_publish_lock, module)?,
        wrap_pyfunction!(requests::_consent, module)?,
        wrap_pyfunction!(requests::_judge, module)?,
        wrap_pyfunction!(requests::_note, module)?,
        wrap_pyfunction!(requests::on_request, module)?,
        wrap_pyfunction!(run::_begin_run, module)?,
        wrap_pyfunction!(settings::_parse_size, module)?,
        wrap_pyfunction!(settings::_settings, module)?,
        wrap_pyfunction!(settings::_hashed, module)?,
        wrap_pyfunction!(settings::_parse_toml, module)?,
        wrap_pyfunction!(settings::_shown, module)?,
        wrap_pyfunction!(settings::_closest, module)?,
        wrap_pyfunction!(space::_activate_space, module)?,
        wrap_pyfunction!(space::_change_space, module)?,
        wrap_pyfunction!(space::_create_space, module)?,
        wrap_pyfunction!(space::_delete_space, module)?,
        wrap_pyfunction!(space::_prepare_space, module)?,
        wrap_pyfunction!(space::_refuse_paths, module)?,
        wrap_pyfunction!(space::_space_folder, module)?,
        wrap_pyfunction!(space::_spaces, module)?,
        wrap_pyfunction!(space::_usage_of_spaces, module)?,
        wrap_pyfunction!(sync::_note_synced, module)?,
        wrap_pyfunction!(sync::_sync_before, module)?,
        wrap_pyfunction!(sync::_sync_look, module)?,
        wrap_pyfunction!(sync::_synced, module)?,
        wrap_pyfunction!(types::__getattr__, module)?,
        wrap_pyfunction!(verify::_cache_usage, module)?,
        wrap_pyfunction!(verify::_journal, module)?,
        wrap_pyfunction!(verify::_kept, module)?,
        wrap_pyfunction!(verify::cache_dir, module)?,
        wrap_pyfunction!(verify::_keep_only, module)?,
        wrap_pyfunction!(verify::_seal, module)?,
        wrap_pyfunction!(verify::_unseal, module)?,
        wrap_pyfunction!(verify::prune, module)?,
        wrap_pyfunction!(verify::verify, module)?,
    ];
    functions.into_iter().try_for_each(|function| module.add_function(function))
}
