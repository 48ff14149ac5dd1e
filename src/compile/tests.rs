//! What the import may rely on, whatever helpers do.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::manifest::{File, Place};
use crate::name::{FilePath, UrlText};
use crate::store::tree::TreeFile;

fn launch() -> Launch {
    Launch {
        executable: "/nowhere/python".into(),
        program: "",
        optimization: 0,
        arguments: Vec::new(),
        greeting: Vec::new(),
    }
}

fn tree(name: &str, paths: &[&str]) -> Arc<Tree> {
    let file = |path: &&str| {
        TreeFile::new(&File {
            path: FilePath::new(path).unwrap(),
            place: Place::Url(UrlText::new("u")),
            size: 1,
            sha256: Digest::of(path.as_bytes()),
            lazy: false,
            executable: false,
        })
    };
    let files = paths.iter().map(file).collect();
    Arc::new(Tree::new(Digest::of(name.as_bytes()), "/nowhere".into(), files))
}

fn sharing<'a>(modules: impl IntoIterator<Item = (&'a str, Module)>) -> (Arc<Sharing>, Digest) {
    let modules: Vec<_> = modules.into_iter().collect();
    let paths: Vec<&str> = modules.iter().map(|(path, _)| *path).collect();
    let tree = tree("tree", &paths);
    let sharing = Sharing::new(launch());
    sharing.add(&tree, Path::new(""), |_, _| false);
    let mut state = sharing.state.lock();
    for (path, module) in modules {
        if let Module::Ready(code, _) = &module {
            state.waiting += code.len();
        }
        let at = state.trees.at(&tree.digest, path).unwrap();
        state.modules.insert(at, module);
    }
    drop(state);
    (sharing, tree.digest)
}

#[test]
fn a_helper_that_says_nothing_is_waited_for_once() {
    let (sharing, tree) = sharing([("slow.py", Module::Working)]);
    let bound = PATIENCE * 30;
    let (began, done) = (Instant::now(), AtomicBool::new(false));
    let code = std::thread::scope(|scope| {
        // Other helpers get on with what they do for as long as it waits.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) && began.elapsed() < bound {
                sharing.changed.notify_all();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let code = sharing.take(&tree, "slow.py");
        done.store(true, Ordering::Relaxed);
        code
    });
    assert_eq!(code, None);
    assert!(began.elapsed() < bound);
    assert!(sharing.state.lock().ended);
}

#[test]
fn what_nobody_asks_for_is_forgotten_when_the_helpers_have_ended() {
    let ready = [("right.py", b"code".to_vec()), ("wrong.py", vec![0; 1000])];
    let (sharing, tree) =
        sharing(ready.map(|(path, code)| (path, Module::Ready(code, Vec::new()))));
    assert_eq!(sharing.take(&tree, "right.py").as_deref(), Some(&b"code"[..]));
    sharing.forget(sharing.state.lock(), Duration::from_millis(1));
    assert_eq!(sharing.state.lock().waiting, 0);
    assert_eq!(sharing.take(&tree, "wrong.py"), None);
}

/// What helpers would be asked for, in this order.
fn queued(sharing: &Sharing) -> Vec<String> {
    let state = sharing.state.lock();
    let path = |at: &At| state.trees.get(*at).unwrap().files[at.file].path.to_string();
    let mut seen = std::collections::HashSet::new();
    state.queue.iter().filter(|at| seen.insert(**at)).map(path).collect()
}

#[test]
fn what_an_import_waits_for_begins_with_the_modules_at_the_top() {
    let numbers = tree("n", &["site/numbers/__init__.py", "site/numbers/core.py", "bin/run.py"]);
    let frames =
        tree("f", &["site/frames/__init__.py", "site/frames/io.py", "site/frames/zones.py"]);
    let sharing = Sharing::new(launch());
    let view = Path::new("/view");
    sharing.stands(&numbers, view, "site");
    assert_eq!(queued(&sharing), [""; 0], "nobody waits for it");

    let expecting = sharing.expect();
    sharing.stands(&numbers, view, "site");
    sharing.stands(&frames, view, "site");
    drop(expecting);
    assert_eq!(queued(&sharing), ["site/numbers/__init__.py", "site/frames/__init__.py"]);

    // What a module imports of any tree comes before what waited, in its order.
    let names = ["numbers.core", "read", "zones", "io"].map(str::to_owned);
    assert_eq!(sharing.take(&frames.digest, "site/frames/__init__.py"), None);
    sharing.compiled(&frames.digest, "site/frames/__init__.py", &names);
    let paths = [
        "site/numbers/__init__.py",
        "site/numbers/core.py",
        "site/frames/zones.py",
        "site/frames/io.py",
    ];
    assert_eq!(queued(&sharing)[..4], paths);
}

#[test]
fn what_a_module_imports_is_first_once_it_is_imported_itself() {
    let (sharing, tree) = sharing([
        ("late.py", Module::Queued),
        ("next.py", Module::Queued),
        ("right.py", Module::Gone),
    ]);
    let at = |path| sharing.state.lock().trees.at(&tree, path).unwrap();
    let (late, next, right) = (at("late.py"), at("next.py"), at("right.py"));
    {
        let mut state = sharing.state.lock();
        state.queue.extend([late, next]);
        state.modules.insert(right, Module::Ready(b"code".to_vec(), vec![next]));
        state.waiting = 4;
    }
    assert!(sharing.take(&tree, "right.py").is_some());
    assert_eq!(queued(&sharing), ["next.py", "late.py"]);
}
