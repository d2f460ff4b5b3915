//! Is the clock right, and who keeps it? Without one certificates and commands cannot be judged.

use std::process::{Command, Stdio};

use super::host::HostFiles;
use super::{CheckResult, fail, ok, warn};
use crate::clock;

pub(super) fn row(machine: &HostFiles) -> CheckResult {
    let now = clock::utc_now();
    if !clock::is_plausible(now) {
        return fail(
            "clock",
            format!("{now} is long past"),
            "connect the network and wait for NTP: certificates cannot be judged without a clock",
        );
    }
    // systemd-timesyncd touches this when it has the time (systemd-timesyncd.service(8)).
    if machine.has("/run/systemd/timesync/synchronized") {
        return ok("clock", "set, and kept by systemd-timesyncd");
    }
    // chronyd's pidfile, as Debian's package has it.
    if machine.has("/run/chrony/chronyd.pid") {
        return chrony(machine.is_here().then(tracking).flatten().as_deref());
    }
    // Whoever it is, it tells the kernel.
    if machine.is_here() && kernel_clock::is_synchronised() {
        return ok("clock", "set, and kept in step, as the kernel says");
    }
    warn(
        "clock",
        format!("set to {now:.0}, and nobody keeps it"),
        "see timedatectl; apt install systemd-timesyncd or chrony, and let NTP (UDP port 123) out",
    )
}

/// What `chronyc -c tracking` says, in one line of comma-separated values.
fn tracking() -> Option<String> {
    let asked =
        Command::new("chronyc").args(["-n", "-c", "tracking"]).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let asked = asked.ok().filter(|asked| asked.status.success())?;
    String::from_utf8(asked.stdout).ok()
}

/// Its fields are those of chronyc(1): the reference's number and name first, the leap status last.
fn chrony(tracking: Option<&str>) -> CheckResult {
    let advice = "see chronyc sources, and let NTP (UDP port 123) out";
    let Some(line) = tracking else {
        return warn("clock", "chronyd runs, and does not say how the clock is", advice);
    };
    let fields: Vec<&str> = line.trim().split(',').collect();
    match (fields.get(1), fields.last()) {
        // Without a name it is keeping to itself.
        (Some(server), Some(&("Normal" | "Insert second" | "Delete second"))) if !server.is_empty() => {
            ok("clock", format!("set, and kept by chronyd from {server}"))
        }
        (Some(_) | None, _) => warn("clock", "chronyd runs, and has no server to keep the clock by", advice),
    }
}

#[cfg(test)]
mod tests {
    use super::chrony;
    use crate::cli::doctor::CheckStatus;

    /// As chronyc 4.3 printed them, but for the address.
    #[test]
    fn chronyd_is_believed_when_it_has_a_server() {
        for (line, verdict) in [
            (
                "C0000201,192.0.2.1,3,1795575677.494965959,0.000001,0.000002,0.000003,0.1,0.2,0.3,0.4,0.5,64.2,Normal\n",
                CheckStatus::Ok,
            ),
            (
                "7F7F0101,,3,1795575677.494965959,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,0.000000000,0.000000000,0.0,Normal\n",
                CheckStatus::Warn,
            ),
            (
                "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,Not synchronised\n",
                CheckStatus::Warn,
            ),
            ("", CheckStatus::Warn),
        ] {
            assert_eq!(chrony(Some(line)).verdict, verdict, "{line}");
        }
        assert_eq!(chrony(None).verdict, CheckStatus::Warn);
    }
}
