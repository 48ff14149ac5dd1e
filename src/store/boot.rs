//! Which run of the machine this is: what was written but not synced may be lost in another.
//!
//! Linux and macOS have a name for it. Windows has none, nor has a container without `/proc`: there two
//! clocks tell in which second the machine was started. If somebody sets the wall clock, that is
//! another second: then everything is hashed once more, as after another boot.

use std::sync::OnceLock;

/// What begins a name that was made of a second.
const STARTED: &str = "started ";

/// How far apart the same boot may seem: the clocks are read one after the other. No boot
/// in which something was stored is as short as that.
const SAME: u64 = 2;

/// The name of this boot, one line.
pub fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| name().or_else(started).unwrap_or_else(|| "unknown".to_owned()))
}

/// True if `then` is what [`boot`] said, in this boot.
pub fn is_this_boot(then: &str) -> bool {
    is_the_same(boot(), then)
}

/// True if no other machine can have started this boot, too: two that were started together have
/// the same second.
pub fn has_name() -> bool {
    let boot = boot();
    boot != "unknown" && !boot.starts_with(STARTED)
}

fn is_the_same(now: &str, then: &str) -> bool {
    let second = |name: &str| name.strip_prefix(STARTED)?.parse::<u64>().ok();
    match (second(now), second(then)) {
        (Some(now), Some(then)) => now.abs_diff(then) <= SAME,
        _ => now == then && now != "unknown",
    }
}

#[cfg(not(any(target_vendor = "apple", windows)))]
fn name() -> Option<String> {
    use std::io::Read as _;
    let mut name = [0; 36];
    let mut file = fs_err::File::open("/proc/sys/kernel/random/boot_id").ok()?;
    file.read_exact(&mut name).ok()?;
    std::str::from_utf8(&name).ok().map(str::to_owned)
}

#[cfg(target_vendor = "apple")]
fn name() -> Option<String> {
    let mut name = [0_u8; 64];
    let mut length = name.len();
    let none = std::ptr::null_mut();
    // SAFETY: at most `length` bytes are written into `name`, and nothing is set.
    let status = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            name.as_mut_ptr().cast(),
            &raw mut length,
            none,
            0,
        )
    };
    let name = std::ffi::CStr::from_bytes_until_nul(&name).ok().filter(|_| status == 0)?;
    name.to_str().ok().filter(|name| !name.is_empty()).map(str::to_owned)
}

#[cfg(windows)]
fn name() -> Option<String> {
    None
}

fn started() -> Option<String> {
    let second = crate::clock::now().checked_sub(running()?)?;
    Some(format!("{STARTED}{second}"))
}

/// For how many seconds the machine has been running, asleep or not.
#[cfg(unix)]
fn running() -> Option<u64> {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    u64::try_from(clock_gettime(clock).tv_sec).ok()
}

/// For how many seconds the machine has been running, asleep or not.
#[cfg(windows)]
fn running() -> Option<u64> {
    // SAFETY: it takes nothing, and always answers.
    Some(unsafe { windows_sys::Win32::System::SystemInformation::GetTickCount64() } / 1000)
}

/// For how many seconds the machine has been running, asleep or not.
#[cfg(not(any(unix, windows)))]
fn running() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_compared_and_a_second_nearly() {
        assert!(is_the_same("6b1f", "6b1f"));
        assert!(!is_the_same("6b1f", "6b1e"));
        assert!(is_the_same("started 1700000000", "started 1700000002"));
        assert!(is_the_same("started 1700000002", "started 1700000000"));
        assert!(!is_the_same("started 1700000000", "started 1700000003"));
        assert!(!is_the_same("started 1700000000", "6b1f"));
        assert!(!is_the_same("6b1f", "started 1700000000"));
    }

    #[test]
    fn what_is_not_known_is_no_boot() {
        assert!(!is_the_same("unknown", "unknown"));
        assert!(!is_the_same("started ", "started 0"));
    }

    #[test]
    fn two_clocks_name_the_same_second_whenever_they_are_read() {
        let (one, other) = (started().unwrap(), started().unwrap());
        assert!(is_the_same(&one, &other), "{one}, {other}");
    }
}
