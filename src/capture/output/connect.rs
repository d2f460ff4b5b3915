//! Connects by the destination's protocol: the only place that knows all of them.

use crate::capture::error::CaptureError;
use crate::capture::output::connection::IngestConnection;
use crate::capture::output::credentials::IngestCredentials;
use crate::capture::output::error::ConnectionError;
use crate::capture::output::target::IngestTarget;
use crate::capture::output::{rtmp, srt, whip};
use crate::config::Protocol;

/// Starts to connect.
pub(super) fn connect(target: &IngestTarget) -> Result<Box<dyn IngestConnection>, ConnectionError> {
    let broken = |failure: CaptureError| ConnectionError::unreachable(failure.message);
    match (&target.destination.protocol, &target.credentials) {
        (Protocol::Rtmp(to), IngestCredentials::Rtmp { application, stream, login }) => {
            rtmp::connect(target, to, [application, stream], login.as_ref())
        }
        (Protocol::Srt(to), IngestCredentials::Srt { passphrase, stream_id }) => {
            srt::connect(target, to, passphrase.as_ref(), stream_id.as_ref())
        }
        (Protocol::Whip(_), IngestCredentials::Whip { endpoint, token }) => {
            whip::connect(target, endpoint, token.as_ref())
        }
        (Protocol::Rtmp(_) | Protocol::Srt(_) | Protocol::Whip(_), _) => {
            Err(broken(CaptureError::internal("the keys are another protocol's")))
        }
    }
}
