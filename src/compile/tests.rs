//! What the import may rely on, whatever helpers do.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn sharing(modules: impl IntoIterator<Item = (&'static str, Module)>) -> Arc<Sharing> {
    let launch = Launch {
        executable: "/nowhere/python".into(),
        program: "",
        optimization: 0,
        arguments: Vec::new(),
        greeting: Vec::new(),
    };
    let tree = Tree::new(Digest::of(b"tree"), "/nowhere".into(), Vec::new());
    let sharing = Sharing::new(Arc::new(tree), launch);
    let mut state = sharing.state.lock();
    for (path, module) in modules {
        if let Module::Ready(code) = &module {
            state.waiting += code.len();
        }
        state.modules.insert(path.to_owned(), module);
    }
    drop(state);
    sharing
}

#[test]
fn a_helper_that_says_nothing_is_waited_for_once() {
    let sharing = sharing([("slow.py", Module::Working)]);
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
        let code = sharing.take("slow.py");
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
    let sharing = sharing(ready.map(|(path, code)| (path, Module::Ready(code))));
    assert_eq!(sharing.take("right.py").as_deref(), Some(&b"code"[..]));
    sharing.forget(sharing.state.lock(), Duration::from_millis(1));
    assert_eq!(sharing.state.lock().waiting, 0);
    assert_eq!(sharing.take("wrong.py"), None);
    assert!(matches!(sharing.state.lock().modules["wrong.py"], Module::Gone));
}
