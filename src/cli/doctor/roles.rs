//! A line for each role: since when it runs and what it is connected to, or why it does not run, and the cure.

use super::requirements::{Requirements, taken_at_start};
use super::{CheckResult, fail, ok, warn};
use crate::cli::host::HostFiles;
use crate::cli::units::{Role, Runner, State, Unit};
use crate::config::Config;
use crate::ipc::Status;

/// What is known of the roles.
pub(super) struct Roles<'a> {
    pub(super) machine: &'a HostFiles,
    /// As the roles meet it.
    pub(super) config: &'a Config,
    pub(super) runner: &'a Runner,
    /// Guard, agent, capture, capture's socket, and the target, as systemd says; `None`: it does not say.
    pub(super) states: Option<&'a [State; 5]>,
    pub(super) status: Option<&'a Status>,
    pub(super) needs: &'a Requirements,
}

/// What a service's process ends with when systemd could not start it as its unit says (systemd.exec(5)).
const EXEC: &str = "203";
const USER: &str = "217";
const NAMESPACE: &str = "226";
const CREDENTIALS: &str = "243";
/// `EX_CONFIG`.
const CONFIG: &str = "78";

impl Roles<'_> {
    pub(super) fn rows(&self) -> Vec<CheckResult> {
        match (self.runner, self.states) {
            (Runner::Caller(why), _) => {
                let who = if rustix::process::geteuid().is_root() { "root" } else { "the calling user" };
                let judged = format!("{why}: secrets and files are judged as {who} meets them");
                vec![ok("roles", judged), self.guard_alone()]
            }
            (Runner::Units(_), None) => {
                let found = "systemd does not answer: whether agent and capture run is not known";
                vec![
                    warn("roles", found, "see systemctl status tallybox.target; call doctor as root"),
                    self.guard_alone(),
                ]
            }
            (Runner::Units(units), Some([guard, agent, capture, socket, target])) => {
                let mut rows = vec![self.guard(guard), self.agent(agent), self.capture(socket)];
                rows.extend(boot(target));
                rows.extend(
                    units.iter().zip([guard, agent, capture]).filter_map(|(unit, state)| self.stale(unit, state)),
                );
                rows
            }
        }
    }

    /// What the guard says of itself.
    fn guard_says(&self, since: &str) -> Option<CheckResult> {
        let status = self.status?;
        let phase = status.phase.as_str();
        Some(if status.faults.is_empty() {
            ok("guard", format!("runs{since}, phase {phase}"))
        } else {
            let found = format!("runs{since}, phase {phase}, faults {:?}", status.faults);
            fail("guard", found, status.message.clone().unwrap_or_default())
        })
    }

    fn guard_alone(&self) -> CheckResult {
        self.guard_says("").unwrap_or_else(|| {
            warn(
                "guard",
                "does not run, or may not be asked",
                "start it: systemctl start tallybox-guard, or tallybox run; or call doctor as root",
            )
        })
    }

    fn guard(&self, state: &State) -> CheckResult {
        let since = since(state);
        if let Some(row) = self.guard_says(&since) {
            return row;
        }
        if !state.is_active() {
            return self.down(Role::Guard, state);
        }
        let found = format!("runs{since}, and does not answer at {}", self.config.guard_socket().display());
        if rustix::process::geteuid().is_root() {
            fail("guard", found, "its log says why: journalctl -u tallybox-guard -e; systemctl restart tallybox-guard")
        } else {
            warn("guard", format!("{found} for this user"), "call doctor as root")
        }
    }

    fn agent(&self, state: &State) -> CheckResult {
        let ended_well = !state.is_active() && state.get("Result") == "success";
        if self.config.mqtt.is_none() && ended_well && state.get("LoadState") == "loaded" {
            return ok("agent", "has nothing to do: no broker is configured");
        }
        if !state.is_active() {
            return self.down(Role::Agent, state);
        }
        let (since, text) = (since(state), state.get("StatusText"));
        let found = if text.is_empty() { format!("runs{since}") } else { format!("runs{since}, {text}") };
        // What is wrong although it is connected stands behind a semicolon.
        if text.starts_with("connected") && !text.contains("; ") {
            return ok("agent", found);
        }
        if text.is_empty() || text.starts_with("connecting") {
            return warn("agent", found, "it has not said yet how it stands with the broker: call doctor again");
        }
        // The broker tells of two boxes with one id, or throws one of them out without a word.
        let advice = if text.contains("use the id") || text.contains("uses the id") {
            "find the other box, and give each its own [device] id and its own certificate"
        } else {
            "do what it says; the rows broker, client-cert and ca-file look at the same from here"
        };
        if text.starts_with("not connected") { fail("agent", found, advice) } else { warn("agent", found, advice) }
    }

    fn capture(&self, socket: &State) -> CheckResult {
        if let Some(status) = self.status.filter(|status| status.capture_pid.is_some()) {
            return ok(
                "capture",
                format!("runs, phase {}; streams to {}", status.phase.as_str(), self.config.ingest.hosts()),
            );
        }
        if let Some((wrong, advice)) = self.needs.first(Role::Capture) {
            return fail("capture", format!("a press would start nothing: {wrong}"), advice);
        }
        if !socket.is_active() {
            let found = format!("its socket is {}: a press cannot start it", socket.get("ActiveState"));
            let advice = "systemctl unmask tallybox-capture.socket; systemctl start tallybox-capture.socket";
            return fail("capture", found, advice);
        }
        ok("capture", "does not run, as it should while nobody pressed; its unit is complete")
    }

    /// Why a role does not run.
    fn down(&self, role: Role, state: &State) -> CheckResult {
        let (word, unit) = (role.as_str(), role.unit());
        if state.get("LoadState") == "masked" {
            let advice = format!("systemctl unmask {unit} && systemctl start tallybox.target");
            return fail(word, "is masked: systemd does not start it", advice);
        }
        match state.get("LoadState") {
            "loaded" => {}
            other => {
                return fail(word, format!("its unit cannot be used ({other})"), format!("systemctl status {unit}"));
            }
        }
        if (state.get("ActiveState"), state.get("SubState")) == ("inactive", "dead") && state.get("Result") == "success"
        {
            return fail(word, "is stopped", "systemctl enable --now tallybox.target");
        }
        if state.get("ActiveState") == "activating" && !state.get("SubState").starts_with("auto-restart") {
            return warn(word, "is starting", "call doctor again");
        }
        let again = match (state.get("ActiveState"), state.get("SubState")) {
            ("failed", _) => ", and is not tried again",
            (_, sub) if sub.starts_with("auto-restart") => ", and is tried again and again",
            // Its end is still under way.
            _ => "",
        };
        let said = state.last_words().map_or_else(String::new, |said| format!("; it said: {said}"));
        let step = match state.get("ExecMainStatus") {
            CREDENTIALS => " (CREDENTIALS)",
            CONFIG => " (CONFIG)",
            NAMESPACE => " (NAMESPACE)",
            USER => " (USER)",
            EXEC => " (EXEC)",
            _ => "",
        };
        let found = format!("does not run: {}{step}{again}{said}", state.ended());
        let restart = role.again();
        let advice = match (self.needs.first(role), state.get("ExecMainStatus")) {
            (Some((_, advice)), _) => advice.to_owned(),
            (None, CREDENTIALS) => format!("the files of its credentials are there now: {restart}"),
            (None, NAMESPACE) => {
                format!("a folder that the unit names is not there: see ReadWritePaths in systemctl cat {unit}")
            }
            (None, USER) => format!("its user is not there: systemd-sysusers tallybox.conf && {restart}"),
            (None, EXEC) => format!("its program is not there: apt-get install --reinstall tallybox && {restart}"),
            (None, CONFIG) => format!("mend what it said, or if that is done: {restart}"),
            (None, _) => format!("mend what it said; more stands in journalctl -u {unit} -e"),
        };
        fail(word, found, advice)
    }

    /// Whether something was changed that a role that runs has not taken.
    fn stale(&self, unit: &Unit, state: &State) -> Option<CheckResult> {
        let name = unit.role.unit();
        if let Some(file) = state.unread(&unit.files) {
            let found = format!("systemd has not read {file}: {name} is without it");
            return Some(fail("restart", found, unit.role.again()));
        }
        let since = state.since()?;
        let files = taken_at_start(unit, self.machine, self.config);
        let newer = files.into_iter().find_map(|path| Some((since.changed(&path)?, path)));
        let reload = state.get("NeedDaemonReload") == "yes";
        let found = match newer {
            Some((at, path)) => format!("{name} runs with what was there before {} changed ({at})", path.display()),
            None if reload => format!("{name} was changed, and systemd has not read it"),
            None => return None,
        };
        Some(warn("restart", found, unit.role.again()))
    }
}

fn since(state: &State) -> String {
    state.since().map_or_else(String::new, |since| format!(" since {:.0}", since.0))
}

/// Whether the box starts with the machine.
fn boot(target: &State) -> Option<CheckResult> {
    let state = target.get("UnitFileState");
    (!["enabled", "enabled-runtime"].contains(&state)).then(|| {
        let found = format!(
            "tallybox.target is {}: nothing starts at the next boot",
            if state.is_empty() { "missing" } else { state }
        );
        warn("roles", found, "systemctl unmask tallybox.target; systemctl enable --now tallybox.target")
    })
}
