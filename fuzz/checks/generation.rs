//! Generations and the state of a mount: nothing, or the same when they are written again.

use magic_module::name::Digest;
use magic_module::store::generation::MountFolder;

pub fn check(data: &[u8]) {
    let folder = MountFolder::new(&super::store(), &Digest::of(b"mount"));
    if !folder.path.exists() {
        folder.create().unwrap();
    }
    let text = [&super::with_checksum(data)[..], b"\n"].concat();
    fs_err::write(folder.path.join("state"), &text).unwrap();
    fs_err::write(folder.path.join("generations").join("1"), &text).unwrap();

    let state = folder.state().unwrap();
    folder.write_state(&state).unwrap();
    assert_eq!(folder.state().unwrap(), state);
    if let Some(generation) = folder.read(1).unwrap() {
        folder.write(&generation).unwrap();
        assert_eq!(folder.read(1).unwrap(), Some(generation));
    }
}
