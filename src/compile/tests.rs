//! What the import may rely on, whatever helpers do.

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
    let began = Instant::now();
    let done = std::thread::scope(|scope| {
        // Other helpers get on with what they do.
        scope.spawn(|| {
            while began.elapsed() < PATIENCE * 2 {
                sharing.changed.notify_all();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let code = sharing.take("slow.py");
        (code, began.elapsed())
    });
    assert_eq!(done.0, None);
    assert!(done.1 < PATIENCE * 2, "{:?}", done.1);
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
