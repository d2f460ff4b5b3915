use consent::{Grant, Purpose, SessionId};

fn main() {
    let _ = Grant { session: SessionId(1), sound: true, purpose: Purpose::OnAir };
}
