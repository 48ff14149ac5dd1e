//! A helper: an interpreter like this one that compiles what it is sent.
//!
//! ```text
//! ─▶ length of path, length of source, path, source
//! ◀─ length of code, length of names, code, names     (no code: compile it yourself)
//! ```
//!
//! Lengths are u32, little endian. The first thing that a helper says is what it is, so
//! that one that compiles otherwise than this interpreter is never asked. It ends when its
//! input does, which is when this process ends.

use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Compiled;
use crate::descriptor::Own;
use crate::settings::own_variables;

/// Longer answers are none of a helper's.
const LONGEST: usize = 64 << 20;

/// How a helper is started, and what it must say of itself.
#[derive(Debug, Clone)]
pub struct Launch {
    /// This interpreter.
    pub executable: PathBuf,
    /// The program that a helper runs.
    pub program: &'static str,
    /// 0 to 2, as `-O` is given.
    pub optimization: u8,
    /// Columns are left out of tracebacks (`-X no_debug_ranges`).
    pub arguments: Vec<String>,
    /// Code that both compile, as this interpreter has it.
    pub greeting: Vec<u8>,
}

pub(super) struct Helper {
    child: Child,
    input: Option<Own<ChildStdin>>,
    output: BufReader<Own<ChildStdout>>,
}

impl Helper {
    /// `None` where none can be started, or where it is not like this interpreter.
    pub fn start(launch: &Launch) -> Option<Self> {
        let mut command = Command::new(&launch.executable);
        command.args(["-I", "-S", "-W", "error"]).args(&launch.arguments);
        command.args(["-c", launch.program, &launch.optimization.to_string()]);
        // It does not look at them, and what is started for us is not told what is ours.
        for variable in own_variables() {
            command.env_remove(variable);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C is for the program, which then closes the helper's input.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().ok()?;
        let (input, output) = (child.stdin.take().map(Own::new), child.stdout.take());
        let mut helper = Self { child, input, output: BufReader::new(Own::new(output?)) };
        (helper.bytes()? == launch.greeting).then_some(helper)
    }

    /// `None` if the helper is of no use any more.
    pub fn compile(&mut self, path: &Path, source: &[u8]) -> Option<Compiled> {
        let path = path.as_os_str().as_encoded_bytes();
        let mut request = Vec::new();
        request.try_reserve_exact(8 + path.len() + source.len()).ok()?;
        for part in [path, source] {
            request.extend_from_slice(&u32::try_from(part.len()).ok()?.to_le_bytes());
        }
        request.extend_from_slice(path);
        request.extend_from_slice(source);
        self.input.as_mut()?.write_all(&request).ok()?;
        let code = self.bytes()?;
        let names = String::from_utf8(self.bytes()?).ok()?;
        let names = names.split('\n').map(str::to_owned).collect();
        Some(Compiled { code: (!code.is_empty()).then_some(code), names })
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.output.read_exact(&mut length).ok()?;
        let length =
            usize::try_from(u32::from_le_bytes(length)).ok().filter(|it| *it <= LONGEST)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).ok()?;
        bytes.resize(length, 0);
        self.output.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.input.take());
        // A program that waits for all its children may have waited for this one, and its
        // number may be another process's by now.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
