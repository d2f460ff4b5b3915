use consent::{Grant, Purpose, SessionId};

fn main() {
    let _ = Grant::from_press(SessionId(1), true, Purpose::OnAir);
}
