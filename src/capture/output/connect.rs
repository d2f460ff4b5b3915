//! The one place that knows all protocols.

use crate::capture::error::Failure;
use crate::capture::output::connection::Line;
use crate::capture::output::credentials::Keys;
use crate::capture::output::error::Trouble;
use crate::capture::output::target::Target;
use crate::capture::output::{rtmp, srt, whip};
use crate::config::Protocol;

/// Begins a connection.
pub(crate) fn connect(target: &Target) -> Result<Box<dyn Line>, Trouble> {
    let broken = |failure: Failure| Trouble::away(failure.message);
    match (&target.to.protocol, &target.keys) {
        (Protocol::Rtmp(to), Keys::Rtmp { application, stream, login }) => {
            rtmp::connect(target, to, [application, stream], login.as_ref())
        }
        (Protocol::Srt(to), Keys::Srt { passphrase, stream_id }) => {
            Ok(Box::new(srt::connect(target, to, passphrase.as_ref(), stream_id.as_ref())?))
        }
        (Protocol::Whip(_), Keys::Whip { endpoint, token }) => whip::connect(target, endpoint, token.as_ref()),
        (Protocol::Rtmp(_) | Protocol::Srt(_) | Protocol::Whip(_), _) => {
            Err(broken(Failure::internal("the keys are another protocol's")))
        }
    }
}
