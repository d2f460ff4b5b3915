//! `tallybox demo`: a box, a broker and an ingest on loopback, and a page to try the promises on. Real processes all:
//! only the panel is simulated, and the camera is a media file.

mod buttons;
mod children;
mod connectivity;
mod faults;
mod guard;
mod hub;
mod ingest;
mod mp4;
mod observation;
mod operator;
mod page_text;
mod press_outcome;
mod process;
mod proxy;
mod reasons;
mod web;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exit::Exit;
use crate::runtime::{ShutdownSignals, block_on};

use hub::Hub;
use web::PageChannels;

/// Real footage in place of a camera: Big Buck Bunny, (c) Blender Foundation, CC BY 3.0, www.bigbuckbunny.org.
const FOOTAGE: &[u8] = include_bytes!("../../tests/media/bigbuckbunny-720p25-5s.mp4");
/// The demo's box in topics.
const ID: &str = "demo-box";
const PREFIX: &str = "tallybox/v1";

/// Ports on loopback.
struct Ports {
    /// Where the ingest listens, and the proxy that the box sees in its place.
    ingest: u16,
    ingest_proxy: TcpListener,
    broker: u16,
    broker_proxy: TcpListener,
}

/// Runs until SIGINT or SIGTERM.
pub fn run(listen: SocketAddr) -> Result<(), Exit> {
    crate::log::init("demo");
    if !listen.ip().is_loopback() {
        return Err(Exit::usage(format!(
            "--listen {listen}: the demo has no passwords, so it listens on loopback only; write 127.0.0.1:8080, and use ssh -L to see it from elsewhere"
        )));
    }
    block_on(serve(listen))
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> Exit + '_ {
    move |error| Exit::io(format!("{what}: {error}"))
}

async fn serve(listen: SocketAddr) -> Result<(), Exit> {
    let mut shutdown = ShutdownSignals::listen()?;
    children::installed()?;
    let page = TcpListener::bind(listen).await.map_err(|error| {
        Exit::unavailable(format!(
            "{listen}: {error}; end what listens there, or choose another port with --listen 127.0.0.1:PORT"
        ))
    })?;
    let address = page.local_addr().map_err(io("the page's address"))?;
    let home = tempfile::Builder::new().prefix("tallybox-demo-").tempdir().map_err(io("a temporary directory"))?;
    let ports = ports().await.map_err(io("ports on loopback"))?;
    let config = write_config(home.path(), &ports).map_err(io("the demo's configuration"))?;
    let config = Config::load(&config)?;

    let hub = Arc::new(Hub::default());
    let ending = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (buttons, fingers) = mpsc::channel(16);
    let (commands, orders) = mpsc::channel(16);
    let (faults, breaks) = mpsc::channel(4);
    tasks.spawn(proxy::run(ports.ingest_proxy, ports.ingest, hub.clone(), ending.clone()));
    tasks.spawn(proxy::run(ports.broker_proxy, ports.broker, hub.clone(), ending.clone()));
    tasks.spawn(children::broker(home.path().to_owned(), ports.broker, hub.clone(), ending.clone()));
    tasks.spawn(ingest::run(ports.ingest, hub.clone(), ending.clone()));
    tasks.spawn(operator::run(ports.broker, hub.clone(), orders, ending.clone()));
    tasks.spawn(guard::run(config.clone(), hub.clone(), fingers, ending.clone()));
    tasks.spawn(faults::run(config.clone(), hub.clone(), breaks, ending.clone()));
    tasks.spawn(web::run(page, address, hub, PageChannels { buttons, commands, faults }, ending.clone()));
    let mut shop = children::shop(&config)?;
    println!("tallybox demo: open http://{address}");
    let ended = tokio::select! {
        _ = shutdown.recv() => Ok(()),
        status = shop.wait() => Err(Exit::software(format!("the demo's box ended: {status:?}"))),
    };
    // The box first: it says goodbye to a broker that is still there.
    children::finish(&mut shop).await;
    ending.cancel();
    while tasks.join_next().await.is_some() {}
    ended
}

async fn ports() -> std::io::Result<Ports> {
    let free = async || TcpListener::bind("127.0.0.1:0").await;
    let (ingest, broker) = (free().await?, free().await?);
    Ok(Ports {
        ingest: ingest.local_addr()?.port(),
        broker: broker.local_addr()?.port(),
        ingest_proxy: free().await?,
        broker_proxy: free().await?,
    })
}

fn write_config(home: &Path, ports: &Ports) -> std::io::Result<std::path::PathBuf> {
    let footage = home.join("footage.mp4");
    std::fs::write(&footage, FOOTAGE)?;
    let (home_shown, footage) = (home.display(), footage.display());
    let (ingest, broker) = (ports.ingest_proxy.local_addr()?, ports.broker_proxy.local_addr()?);
    let text = format!(
        "[device]\nid = \"{ID}\"\ndata-dir = \"{home_shown}/data\"\nruntime-dir = \"{home_shown}/run\"\n\
         [panel]\nbackend = \"sim\"\n\
         [video]\nsource = \"file\"\ndevice = \"{footage}\"\n\
         [audio]\nsource = \"file\"\ndevice = \"{footage}\"\n\
         [ingest]\nurl = \"rtmp://{ingest}/live/demo\"\n\
         [mqtt]\nurl = \"mqtt://{broker}\"\ntopic-prefix = \"{PREFIX}\"\ntelemetry-interval = \"1s\"\n"
    );
    let path = home.join("tallybox.toml");
    std::fs::write(&path, text)?;
    Ok(path)
}
