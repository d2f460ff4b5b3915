use tallybox::consent::{Grant, SessionId};

fn main() {
    let _ = Grant::from_press(SessionId(1), true);
}
