//! `keyring get SERVICE USER`, as uv and pip ask it.

use std::io::Read;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::descriptor::Own;
use crate::settings::own_variables;
use crate::threads;

/// Some keyrings ask their user first.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether it has ended, once it has said all.
const LOOK: Duration = Duration::from_millis(5);

/// Longer ones are not passwords, in bytes.
const LONGEST: u64 = 64 << 10;

/// The password; `None` where there is none, or no keyring, or no answer in time.
pub fn get(service: &str, user: &str) -> Option<String> {
    let mut command = Command::new("keyring");
    command.args(["get", service, user]);
    for variable in own_variables() {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let until = Instant::now() + PATIENCE;
    let said = child.stdout.take().and_then(|output| read(output, until));
    let status = end(&mut child, said.as_ref().map_or(Instant::now(), |_| until));
    let said = said.filter(|_| status.is_some_and(|status| status.success()))?;
    let password = said.trim_end_matches(['\r', '\n']);
    (!password.is_empty()).then(|| password.to_owned())
}

/// All that it says.
fn read(output: ChildStdout, until: Instant) -> Option<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let work = move |output: Own<ChildStdout>| {
        let mut text = String::new();
        let read = output.take(LONGEST).read_to_string(&mut text);
        // Nobody may wait for it any more.
        let _ = sender.send(read.map(|_| text));
    };
    threads::start("magic_module-keyring", Own::new(output), work).ok()?;
    receiver.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?.ok()
}

/// How it ended; it is killed if it has not by then.
fn end(child: &mut Child, until: Instant) -> Option<ExitStatus> {
    while Instant::now() < until {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(LOOK),
            ended => return ended.ok().flatten(),
        }
    }
    let _ = child.kill();
    child.wait().ok()
}
