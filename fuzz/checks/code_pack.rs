//! Code packs: whatever follows the header, only what was put in comes out, and more can
//! be added.

use magic_module::name::Digest;
use magic_module::store::code::{CodePack, Interpreter, Trust};

const CODE: &[u8] = b"the code of a.py";

pub fn check(data: &[u8]) {
    let folder = super::folder();
    let (identity, tree) = (Digest::of(b"mount"), Digest::of(b"tree"));
    let interpreter =
        Interpreter { cache_tag: "cpython-313".into(), magic: vec![1, 2], optimization: 0 };
    let path = folder.join(format!("{tree}.cpython-313.0"));
    let open = || CodePack::open(&folder, &identity, &tree, &interpreter, Trust::Published);
    let source = Digest::of(b"source");

    let _ = fs_err::remove_file(&path);
    open().add("a.py", &source, CODE);
    let good = fs_err::read(&path).unwrap();
    let header = b"magic_module code 1\n".len() + 32;
    // As the whole file, behind the header, and behind a good entry.
    for bytes in [data.to_vec(), [&good[..header], data].concat(), [&good, data].concat()] {
        fs_err::write(&path, bytes).unwrap();
        let pack = open();
        for name in ["a.py", "b.py", ""] {
            let code = pack.get(name, &source);
            assert!(code.is_none_or(|code| code.as_ref() == CODE));
        }
        pack.add("b.py", &source, CODE);
        let added = open().get("b.py", &source);
        assert!(added.is_some_and(|code| code.as_ref() == CODE));
    }
}
