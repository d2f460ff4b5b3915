//! Whether the kernel says that the wall clock is synchronised. A crate of its own because the call needs `unsafe`,
//! which tallybox forbids itself: neither rustix nor nix has it, and crates that do steer clocks, and bring more than
//! is wanted where the lamp is held.

/// Whether somebody keeps the wall clock in step: timesyncd, chronyd and ntpd tell the kernel. Where the kernel may not
/// be asked (the system call is filtered) the answer is no.
pub fn is_synchronised() -> bool {
    // SAFETY: `timex` is numbers only, for which all zeros is a value; no mode is set, so that the kernel fills it in
    // and changes nothing. The pointer is to a live one of our own.
    #[allow(unsafe_code)]
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex)
    };
    // adjtimex(2): TIME_ERROR is "the clock is not to be relied upon", STA_UNSYNC that nobody disciplines it.
    state != -1 && state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0
}

#[cfg(test)]
mod tests {
    /// Against what the kernel says to somebody else.
    #[test]
    fn it_is_what_the_kernel_says() {
        let script = "import ctypes\nb = (ctypes.c_long * 64)()\nprint(ctypes.CDLL(None).adjtimex(b))";
        let asked = std::process::Command::new("python3").args(["-c", script]).output().expect("python3");
        let state: i32 = String::from_utf8_lossy(&asked.stdout).trim().parse().expect("a number");
        assert_eq!(super::is_synchronised(), (0..5).contains(&state), "{state}");
    }
}
