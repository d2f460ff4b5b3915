use tallybox::consent::{Grant, SessionId};

fn main() {
    let _ = Grant { session: SessionId(1), sound: true };
}
