//! No network: a filter of system calls (seccomp) that refuses every socket but those of this
//! machine's file system (`AF_UNIX`), and `io_uring`, which makes sockets past the filter.
//!
//! Loopback is an internet socket like any other. A socket that somebody hands over stays open.

use std::io;

/// Where the kernel has the system call's number, the architecture and the first argument.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

/// `AUDIT_ARCH_…`, little-endian.
#[cfg(target_arch = "x86_64")]
const OWN: Option<u32> = Some(0xC000_003E);
#[cfg(target_arch = "aarch64")]
const OWN: Option<u32> = Some(0xC000_00B7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const OWN: Option<u32> = None;

/// Numbers from here on are those of another set of the same calls (x32); there are none elsewhere.
const X32: u32 = 0x4000_0000;

/// From now on this thread, and all that it starts, makes no socket but local ones. What is refused
/// is `EPERM`.
pub fn refuse() -> io::Result<()> {
    let Some(own) = OWN else { return Err(io::Error::from(io::ErrorKind::Unsupported)) };
    let filter = program(own);
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program lives until the call returns, which copies it.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        let mode = libc::SECCOMP_MODE_FILTER;
        if libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn program(own: u32) -> Vec<libc::sock_filter> {
    let load = |at| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, 0, 0);
    // Goes on by `yes` or `no` steps more.
    let equal = |value, yes, no| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, yes, no);
    let least = |value, yes, no| step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, value, yes, no);
    let answer = |value| step(libc::BPF_RET | libc::BPF_K, value, 0, 0);
    vec![
        load(ARCHITECTURE),
        equal(own, 1, 0),
        // Calls of another architecture have other numbers.
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
        least(X32, 4, 0),
        equal(libc::SYS_io_uring_setup as u32, 3, 0),
        equal(libc::SYS_socket as u32, 0, 3),
        load(FIRST_ARGUMENT),
        equal(libc::AF_UNIX as u32, 1, 0),
        answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ]
}

fn step(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer.
    fn ask(filter: &[libc::sock_filter], architecture: u32, number: u32, argument: u32) -> u32 {
        let (mut at, mut register) = (0, 0);
        loop {
            let libc::sock_filter { code, jt, jf, k } = filter[at];
            at += 1;
            let jump = |holds: bool| usize::from(if holds { jt } else { jf });
            match u32::from(code) {
                0x20 => {
                    register = match k {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        _ => argument,
                    }
                }
                0x15 => at += jump(register == k),
                0x35 => at += jump(register >= k),
                0x06 => return k,
                other => panic!("{other:#x}"),
            }
        }
    }

    #[test]
    fn only_local_sockets_are_made() {
        let own = 0xC000_003E;
        let filter = program(own);
        let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        let socket = libc::SYS_socket as u32;
        let rows = [
            (own, socket, libc::AF_INET as u32, refused),
            (own, socket, libc::AF_INET6 as u32, refused),
            (own, socket, libc::AF_NETLINK as u32, refused),
            (own, socket, libc::AF_UNIX as u32, libc::SECCOMP_RET_ALLOW),
            (own, libc::SYS_io_uring_setup as u32, 1, refused),
            (own, libc::SYS_read as u32, 2, libc::SECCOMP_RET_ALLOW),
            (own, X32 | socket, libc::AF_UNIX as u32, refused),
            (own, X32, 0, refused),
            (0x4000_0003, socket, libc::AF_UNIX as u32, libc::SECCOMP_RET_KILL_PROCESS),
        ];
        for (architecture, number, argument, expected) in rows {
            let got = ask(&filter, architecture, number, argument);
            assert_eq!(got, expected, "{architecture:#x} {number} {argument}");
        }
    }
}
