//! The page and its two WebSockets, for browsers on this machine only.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::faults::Fault;
use super::hub::{Hub, Media, Switches, Tell};
use crate::ipc::{Request, Verb};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the page wants.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Wish {
    /// The record button goes down or up.
    Button { down: bool },
    /// The mute button does.
    MuteButton { down: bool },
    /// The operator sends a command.
    Command { verb: Verb },
    /// The switches are turned.
    Switch { switches: Switches },
    /// Something is broken once.
    Break {
        #[serde(rename = "act")]
        fault: Fault,
    },
}

/// Where what the page wants goes.
#[derive(Clone)]
pub(super) struct PageChannels {
    pub(super) buttons: mpsc::Sender<Request>,
    pub(super) commands: mpsc::Sender<Verb>,
    pub(super) faults: mpsc::Sender<Fault>,
}

#[derive(Clone)]
struct Shared {
    hub: Arc<Hub>,
    channels: PageChannels,
    names: [String; 2],
    ending: CancellationToken,
}

/// Serves until `ending`.
pub(super) async fn run(
    listener: TcpListener,
    address: SocketAddr,
    hub: Arc<Hub>,
    channels: PageChannels,
    ending: CancellationToken,
) {
    let names = [address.to_string(), format!("localhost:{}", address.port())];
    let shared = Shared { hub, channels, names, ending: ending.clone() };
    let file =
        |kind: &'static str, text: &'static str| get(move || async move { ([(header::CONTENT_TYPE, kind)], text) });
    let router = Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("page/index.html")))
        .route("/style.css", file("text/css", include_str!("page/style.css")))
        .route("/app.js", file("text/javascript", include_str!("page/app.js")))
        .route("/button.js", file("text/javascript", include_str!("page/button.js")))
        .route("/player.js", file("text/javascript", include_str!("page/player.js")))
        .route("/plots.js", file("text/javascript", include_str!("page/plots.js")))
        .route("/control", get(control))
        .route("/media", get(media))
        .layer(middleware::from_fn_with_state(shared.clone(), only_us))
        .with_state(shared);
    let served = axum::serve(listener, router).with_graceful_shutdown(async move { ending.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!(%error, "the page is not served any more");
    }
}

/// A page of another site must neither read this one nor press its button: the names have to be ours.
async fn only_us(State(shared): State<Shared>, request: HttpRequest, next: Next) -> Response {
    if !is_ours(request.headers(), &shared.names) {
        return (StatusCode::FORBIDDEN, "this page is for this machine only").into_response();
    }
    let mut response = next.run(request).await;
    let fixed: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_ours(headers: &HeaderMap, names: &[String]) -> bool {
    let ours = |name: &HeaderName, prefix: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(names.iter().any(|name| value == format!("{prefix}{name}")))
    };
    ours(&header::HOST, "") == Some(true)
        && (!headers.contains_key(header::ORIGIN) || ours(&header::ORIGIN, "http://") == Some(true))
}

async fn control(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(4096).on_upgrade(|socket| async move {
        let mut holds = (false, false);
        let ending = shared.ending.clone();
        ending.run_until_cancelled(talk(socket, &shared, &mut holds)).await;
        // A page that goes away has let go.
        if holds.0 {
            let _ = shared.channels.buttons.send(Request::Button { down: false }).await;
        }
        if holds.1 {
            let _ = shared.channels.buttons.send(Request::MuteButton { down: false }).await;
        }
    })
}

async fn tell(socket: &mut WebSocket, tell: &Tell) -> Option<()> {
    let text = serde_json::to_string(tell).ok()?;
    socket.send(Message::Text(text.into())).await.ok()
}

/// Until one side closes, or the page is too slow: it connects again and hears all from the start.
async fn talk(mut socket: WebSocket, shared: &Shared, holds: &mut (bool, bool)) -> Option<()> {
    let (told, mut news) = shared.hub.listen();
    for message in &told {
        tell(&mut socket, message).await?;
    }
    loop {
        tokio::select! {
            message = news.recv() => tell(&mut socket, &message.ok()?).await?,
            received = socket.recv() => match received?.ok()? {
                Message::Text(text) => match serde_json::from_str(&text).ok()? {
                    Wish::Button { down } => {
                        holds.0 = down;
                        shared.channels.buttons.send(Request::Button { down }).await.ok()?;
                    }
                    Wish::MuteButton { down } => {
                        holds.1 = down;
                        shared.channels.buttons.send(Request::MuteButton { down }).await.ok()?;
                    }
                    Wish::Command { verb } => shared.channels.commands.send(verb).await.ok()?,
                    Wish::Switch { switches } => shared.hub.turn(switches),
                    Wish::Break { fault } => shared.channels.faults.send(fault).await.ok()?,
                },
                Message::Close(_) => return None,
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
            },
        }
    }
}

/// The first byte of a media message: a start, a fragment or an end.
const START: u8 = 0;
const FRAGMENT: u8 = 1;
const END: u8 = 2;

async fn media(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| async move {
        let ending = shared.ending.clone();
        ending.run_until_cancelled(show(socket, &shared.hub)).await;
    })
}

async fn show(mut socket: WebSocket, hub: &Hub) -> Option<()> {
    let (start, mut stream) = hub.watch_stream();
    let message = |kind: u8, bytes: &[u8]| Message::Binary([&[kind], bytes].concat().into());
    if let Some(start) = start {
        socket.send(message(START, &start)).await.ok()?;
    }
    loop {
        tokio::select! {
            media = stream.recv() => {
                let message = match media {
                    Ok(Media::Start(start)) => message(START, &start),
                    Ok(Media::Fragment(fragment)) => message(FRAGMENT, &fragment),
                    Ok(Media::End) => message(END, &[]),
                    // Too slow a page: it comes again and begins at the live edge.
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
                };
                socket.send(message).await.ok()?;
            }
            received = socket.recv() => {
                if matches!(received, None | Some(Err(_) | Ok(Message::Close(_)))) {
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page's half of each message stands in its scripts and its HTML: a field that is renamed on one side only
    /// would end in a click that does nothing.
    #[test]
    fn what_the_page_sends_is_understood() {
        let page =
            [include_str!("page/index.html"), include_str!("page/app.js"), include_str!("page/button.js")].concat();
        for sent in [
            "do: \"break\", act: control",
            "do: \"command\", verb: control",
            "do: \"switch\", switches: Obj",
            "do: wish, down",
        ] {
            assert!(page.contains(sent), "{sent}");
        }
        let values = |attribute: &str| -> Vec<String> {
            let marker = format!(" {attribute}=\"");
            let found = page.split(&marker).skip(1);
            found.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect()
        };
        let mut messages = vec![
            r#"{"do":"button","down":true}"#.to_owned(),
            r#"{"do":"mute-button","down":false}"#.to_owned(),
            r#"{"do":"switch","switches":{"network":true,"ingest":true,"broker":true,"lamp":false}}"#.to_owned(),
        ];
        let (acts, verbs) = (values("data-act"), values("data-verb"));
        assert!(acts.len() >= 2 && verbs.len() >= 3, "{acts:?} {verbs:?}");
        messages.extend(acts.iter().map(|act| format!(r#"{{"do":"break","act":"{act}"}}"#)));
        messages.extend(verbs.iter().map(|verb| format!(r#"{{"do":"command","verb":"{verb}"}}"#)));
        for message in messages {
            assert!(serde_json::from_str::<Wish>(&message).is_ok(), "{message}");
        }
    }
}
