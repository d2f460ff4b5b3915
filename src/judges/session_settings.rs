//! What `set-video` and `set-ingest` may change, and what staff have to agree to.

use crate::config::{Config, asks_staff_about_destination, compare};
use crate::ipc::{Phase, Rejection, ReplyCode, Response, SessionValues, SetIngest, SetVideo};

/// The configuration of a session: `base`, with what commands set as far as that still fits it.
pub fn session_config(base: &Config, values: &SessionValues) -> Config {
    base.with_session_values(values).unwrap_or_else(|_| base.clone())
}

fn malformed(why: String) -> Response {
    Response::Rejected(Rejection::new(ReplyCode::Malformed, why))
}

/// What the values would be with `wanted`. `Err`: why they may not.
pub fn judge_video(
    base: &Config,
    values: &SessionValues,
    phase: Phase,
    wanted: &SetVideo,
) -> Result<SessionValues, Response> {
    let SetVideo { bitrate_kbps, width, height, fps } = *wanted;
    if *wanted == SetVideo::default() {
        return Err(malformed("it changes nothing: send bitrate-kbps, width, height or fps".to_owned()));
    }
    let now = session_config(base, values);
    let mut values = values.clone();
    let video = &mut values.video;
    *video = SetVideo {
        bitrate_kbps: bitrate_kbps.or(video.bitrate_kbps),
        width: width.or(video.width),
        height: height.or(video.height),
        fps: fps.or(video.fps),
    };
    let config = base.with_session_values(&values).map_err(malformed)?;
    let picture = |config: &Config| (config.video.width, config.video.height, config.video.fps);
    if phase.may_capture() && picture(&config) != picture(&now) {
        return Err(Response::refused("size and frame rate change between sessions only: stop the session first"));
    }
    if let Some(what) = compare(base, &config).staff.first() {
        return Err(Response::refused(format!("staff have to agree to that, which config/desired asks them: {what}")));
    }
    Ok(values)
}

/// The host that `ingest` names, and what staff have to agree to. `Err`: why it may not be. `is_asked`: staff are asked
/// about another address.
pub fn judge_ingest(
    base: &Config,
    values: &SessionValues,
    phase: Phase,
    is_asked: bool,
    ingest: &SetIngest,
) -> Result<(String, Vec<String>), Response> {
    if phase.may_capture() {
        return Err(Response::refused(format!(
            "the stream goes where it goes until the session is over: the box is {}",
            phase.as_str()
        )));
    }
    let now = session_config(base, values);
    let values = SessionValues { ingest: Some(Box::new(ingest.clone())), ..values.clone() };
    let config = base.with_session_values(&values).map_err(|why| {
        let code = if why.contains("allowed-ingest-hosts") { ReplyCode::Refused } else { ReplyCode::Malformed };
        Response::Rejected(Rejection::new(code, why))
    })?;
    // Staff agreed to what is in force, and to the configuration.
    let asks = |known: &Config| asks_staff_about_destination(&known.ingest.first, &config.ingest.first);
    let changes = if asks(base).is_empty() { Vec::new() } else { asks(&now) };
    if !changes.is_empty() && (phase != Phase::Idle || is_asked) {
        return Err(Response::refused(format!(
            "staff have to agree to that server, and cannot be asked now: the box is {}",
            phase.as_str()
        )));
    }
    Ok((config.ingest.first.host.as_str().to_owned(), changes))
}
