//! Puts the unwinder into the library.
//!
//! `std` asks the linker for `libgcc_s`. Finding and loading that shared object would be a
//! fifth of what `import magic_module` costs, and no other part of a Python process loads it.
//! A linker script of the same name, found first, gives the compiler's static copy instead.
//! Where there is none, or another machine is compiled for, everything stays as it is.

#![expect(
    clippy::disallowed_methods,
    reason = "settings and file access of the product are elsewhere; this runs while it is built"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let native = env::var("HOST").ok() == env::var("TARGET").ok();
    if !native || !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return Ok(());
    }
    let (Some(unwinder), Some(helpers), Some(folder)) =
        (archive("libgcc_eh.a"), archive("libgcc.a"), env::var_os("OUT_DIR"))
    else {
        return Ok(());
    };
    let folder = PathBuf::from(folder);
    let script = format!("GROUP ( \"{}\" \"{}\" )\n", unwinder.display(), helpers.display());
    fs::write(folder.join("libgcc_s.so"), script)?;
    println!("cargo:rustc-link-search=native={}", folder.display());
    Ok(())
}

/// Where the C compiler, which links us, keeps an archive of its own.
fn archive(name: &str) -> Option<PathBuf> {
    let output = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let path = Path::new(str::from_utf8(&output.stdout).ok()?.trim()).to_path_buf();
    // A compiler that has none answers with the bare name.
    (path.is_absolute() && path.exists()).then_some(path)
}
