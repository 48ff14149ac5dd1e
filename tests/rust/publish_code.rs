//! `--compile`: each interpreter adds its own packs, and they follow their sources.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use magic_module::manifest::{Pack, PackFormat};
use magic_module::store::code::Interpreter;
use magic_module::uses::publish::{Compiler, Options, Published, publish};

use crate::publish_support::{NOW, Sandbox, options};

/// "Compiles" by turning the source around; counts how often.
fn compiler(cache_tag: &str, count: &Arc<AtomicUsize>) -> Compiler {
    let interpreter =
        Interpreter { cache_tag: cache_tag.to_owned(), magic: vec![0xf3, 0x0d], optimization: 0 };
    let count = count.clone();
    let compile = move |_: &str, source: &[u8]| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok((!source.starts_with(b"broken")).then(|| source.iter().rev().copied().collect()))
    };
    Compiler { interpreter, compile: Arc::new(compile) }
}

fn publish_with(sandbox: &Sandbox, compiler: Option<Compiler>) -> Published {
    let options = Options { compiler, ..options("acme", NOW, None) };
    publish(&sandbox.source, &sandbox.output, &options).unwrap()
}

fn code(sandbox: &Sandbox, unit: &str) -> BTreeMap<String, Pack> {
    let packs = sandbox.modules().0[unit].packs.clone();
    let code = packs.into_iter().filter(|pack| pack.format == PackFormat::Code);
    code.map(|pack| (pack.tag.clone().unwrap(), pack)).collect()
}

#[test]
fn interpreters_add_to_each_other_and_compile_only_what_is_new() {
    let sandbox = Sandbox::new(&[
        ("p/__init__.py", "x = 1\n"),
        ("p/same.py", "x = 1\n"),
        ("p/broken.py", "broken"),
        ("p/other.py", "z = 1\n"),
        ("q.py", "y = 1\n"),
    ]);
    let count = Arc::new(AtomicUsize::new(0));
    let counted = |name: &str| {
        count.store(0, Ordering::Relaxed);
        publish_with(&sandbox, Some(compiler(name, &count)));
        count.load(Ordering::Relaxed)
    };
    // The same bytes are compiled once.
    assert_eq!(counted("cpython-312"), 4);
    assert_eq!(counted("cpython-313"), 4);
    let both = code(&sandbox, "p");
    assert_eq!(Vec::from_iter(both.keys()), ["cpython-312-f30d-0", "cpython-313-f30d-0"]);
    assert_eq!(counted("cpython-312"), 0);
    assert!(!publish_with(&sandbox, None).changed);
    assert_eq!(code(&sandbox, "p"), both);

    sandbox.write("q.py", "y = 2\n");
    assert_eq!(counted("cpython-313"), 1);
    assert_eq!(code(&sandbox, "p"), both);
    assert_eq!(Vec::from_iter(code(&sandbox, "q").keys()), ["cpython-313-f30d-0"]);
}

#[test]
fn a_pack_that_the_site_has_lost_is_made_again() {
    let sandbox = Sandbox::new(&[("q.py", "y = 1\n")]);
    let count = Arc::new(AtomicUsize::new(0));
    publish_with(&sandbox, Some(compiler("cpython-313", &count)));
    let first = code(&sandbox, "q");
    std::fs::remove_file(sandbox.output.join(first["cpython-313-f30d-0"].url.as_str())).unwrap();
    publish_with(&sandbox, None);
    assert!(code(&sandbox, "q").is_empty());
    publish_with(&sandbox, Some(compiler("cpython-313", &count)));
    assert_eq!(code(&sandbox, "q"), first);
    assert_eq!(count.load(Ordering::Relaxed), 2);
}
