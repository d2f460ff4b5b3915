//! Everything that takes input from outside, as functions of bytes that check what comes of them: targets for
//! libFuzzer (`fuzz/`, `make fuzz`), and property tests (`cargo test --features demo --lib fuzzing::`). Bodies that
//! need what a module keeps to itself stand beside it, in its own `fuzzing.rs`. docs/fuzzing.md says which target
//! covers what.

mod certificate;
pub(crate) mod input;
mod ipc;
mod judges;
mod ledger;
pub(crate) mod notes;
pub(crate) mod oracle;
mod release;
#[cfg(test)]
mod tests;
mod tlog;

use crate::{agent, camera, capture, cli, config, guard};

/// One kind of input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which its folder in `fuzz/corpus` has too.
    pub name: &'static str,
    /// The words that such an input has, in `fuzz/dictionaries`.
    pub dictionary: &'static str,
    /// Takes any bytes, and panics where they show a fault.
    pub run: fn(&[u8]),
}

/// Makes the list, and a property test of each.
macro_rules! targets {
    ($($name:ident($dictionary:literal): $run:path,)+) => {
        /// All of them.
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), dictionary: $dictionary, run: $run },)+];

        #[cfg(test)]
        mod properties {
            $(
                #[test]
                fn $name() {
                    super::tests::hold(stringify!($name));
                }
            )+
        }
    };
}

targets! {
    address("address"): config::fuzzing::address,
    agent_files("json"): agent::fuzzing::files,
    amf0("rtmp"): capture::fuzzing::amf0,
    annexb("binary"): capture::fuzzing::annexb,
    camera_descriptors("camera"): camera::fuzzing::descriptors,
    camera_process("binary"): capture::fuzzing::camera_process,
    capture_socket("ipc"): ipc::capture,
    certificate("pem"): certificate::certificate,
    checkpoint("note"): tlog::checkpoint,
    command("command"): agent::fuzzing::command,
    config("toml"): config::fuzzing::file,
    control_socket("ipc"): ipc::control,
    desired_document("command"): crate::judges::twin::fuzzing::document,
    desired_values("desired"): config::fuzzing::desired,
    end_of_service("policy"): judges::end_of_service,
    flv("binary"): capture::fuzzing::flv,
    guard_files("files"): guard::fuzzing::files,
    key("note"): notes::key,
    ledger_database("ledger"): ledger::database,
    ledger_export("ledger"): ledger::export,
    ledger_facts("ledger"): ledger::facts,
    library_text("text"): capture::fuzzing::library_text,
    merkle("binary"): tlog::merkle,
    note("note"): notes::note,
    policy("policy"): judges::policy,
    proof("note"): tlog::proof,
    release("release"): release::release,
    rtmp_server("rtmp"): capture::fuzzing::rtmp_server,
    sealing("files"): guard::fuzzing::sealing,
    secret_address("address"): config::fuzzing::secret_address,
    setup_answers("toml"): cli::fuzzing::setup_answers,
    signed_command("command"): judges::signed_command,
    signed_note("note"): notes::signed_note,
    srt_statistics("srt"): capture::fuzzing::srt_statistics,
    stick("toml"): config::fuzzing::stick,
    text("text"): ipc::text,
    version("release"): release::version,
    whip_answer("sdp"): capture::fuzzing::whip_sdp,
    whip_http("http"): capture::fuzzing::whip_http,
}
